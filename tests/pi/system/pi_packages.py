"""The Python packages of the emulated Pi: wheels for aarch64, at the versions of our lock.

They lie where the role `release` has a virtual environment, and programs in its `bin` find them.
"""

import sys
import tempfile
from pathlib import Path

from tests.pi.system.pi_tools import HERE, PYTHON, ROOT, cached, compile_python, run

PLATFORM = "aarch64-manylinux_2_36"  # its C library

ENVIRONMENT = "opt/protoledger/current"
_SITE = f"{ENVIRONMENT}/lib/python{PYTHON}/site-packages"
_PROGRAM = f"""\
#!/{ENVIRONMENT}/bin/python3
import sys
from protoledger.runtime.command import main
sys.exit(main())
"""

_PIP = (ROOT / ".venv/bin/uv", "--no-config", "pip")
_FOREIGN = ("--python-platform", PLATFORM, "--python-version", PYTHON, "--only-binary", ":all:")


def packages():
    """Make, or find, the folder with `tree`: what the extra `edge` brings, and pytest."""
    recipe = [HERE / "pi_packages.py", ROOT / "pyproject.toml", ROOT / "requirements.lock"]
    return cached("packages", recipe, _build)


def install_ourselves(tree):
    """Build this project's wheel and unpack it in the guest's tree."""
    target = tree / _SITE
    with tempfile.TemporaryDirectory() as folder:
        run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
        (wheel,) = Path(folder).glob("*.whl")
        options = ("--quiet", "--no-deps", "--offline", *_FOREIGN)
        run(*_PIP, "install", *options, "--target", target, wheel)
    compile_python(target, tree)


def _build(folder):
    tree, lock = folder / "tree", folder / "edge.lock"
    target = tree / _SITE
    resolve = ("--extra", "edge", "--constraints", "requirements.lock", "--generate-hashes")
    options = ("--quiet", "--no-emit-index-url", *_FOREIGN, "--output-file", lock)
    given = ("pyproject.toml", "-")
    run(*_PIP, "compile", *given, *resolve, *options, cwd=ROOT, data=b"pytest\n")
    install = ("--quiet", "--require-hashes", *_FOREIGN, "--target", target, "-r", lock)
    run(*_PIP, "install", *install)
    compile_python(target, tree)
    programs = tree / ENVIRONMENT / "bin"
    programs.mkdir()
    (programs / "python3").symlink_to("/usr/bin/python3")
    (programs.parent / "pyvenv.cfg").write_text("home = /usr/bin\n")
    (programs / "protoledger").write_text(_PROGRAM)
    (programs / "protoledger").chmod(0o755)
