"""The Debian that the emulated Pi boots: its kernel, and `system.cpio`.

It comes from the mirror that this machine's apt uses, or from that in the environment variable
DEBIAN_MIRROR. Nothing of arm64 is run here: packages are unpacked and not set up, and the module is
cross-compiled in a throw-away Debian of this machine's architecture. About 250 MB are loaded, once.
"""

import os
import shutil

from tests.pi.pi_tools import HERE, BuildError, cached, pack, run

SUITE = (
    "bookworm"  # as Raspberry Pi OS has it; its Python 3.11 is the last that lgpio has a wheel for
)

_PACKAGES = (
    *("base-files", "iproute2", "kmod", "libstdc++6", "linux-image-arm64", "mount"),
    "python3",
)
_LEFT_OUT = ("./dev/*", "./usr/share/doc", "./usr/share/locale", "./usr/share/man")
# what the guest loads, and what that needs
_MODULES = (
    *("virtio", "virtio_ring", "virtio_mmio", "virtio_net", "net_failover", "failover"),
    *("virtio_console", "configfs", "industrialio", "dht11"),
)


def system():
    """Make, or find, the folder with `vmlinuz` and `system.cpio`."""
    recipe = [HERE / "pi_system.py", HERE / "build_gpio_sim.sh"]
    return cached("system", recipe, _build)


def _build(folder):
    tree, everything = folder / "tree", folder / "tree.tar"
    tree.mkdir()
    packages = f"--include={','.join(_PACKAGES)}"
    _mmdebstrap(everything, "--variant=extract", "--architectures=arm64", packages)
    left_out = [f"--exclude={pattern}" for pattern in _LEFT_OUT]
    run("tar", "-xf", everything, "-C", tree, "--no-same-owner", *left_out)
    everything.unlink()
    (boot,) = tree.glob("boot/vmlinuz-*")
    version = boot.name.removeprefix("vmlinuz-")
    boot.rename(folder / "vmlinuz")
    shutil.rmtree(tree / "boot")
    modules = tree / "lib/modules" / version / "kernel"
    for path in modules.rglob("*.ko*"):
        if path.name.partition(".")[0].replace("-", "_") not in _MODULES:
            path.unlink()
    _build_simulator(version, modules)
    run("depmod", "--basedir", tree, version)
    pack(tree, folder / "system.cpio")
    shutil.rmtree(tree)


def _build_simulator(version, modules):
    native = run("dpkg", "--print-architecture").decode().strip()
    series = ".".join(version.split(".")[:2])
    tools = ("gcc-aarch64-linux-gnu", "make", "xz-utils", f"linux-kbuild-{series}")
    script = HERE / "build_gpio_sim.sh"
    _mmdebstrap(
        "-",
        "--variant=apt",
        f"--architectures={native},arm64",
        f"--include={','.join(tools)}",
        "--format=null",
        '--customize-hook=mkdir "$1/build"',
        f"--customize-hook=copy-in '{script}' /build",
        f'--customize-hook=chroot "$1" sh /build/{script.name} {version} {series}',
        f"--customize-hook=copy-out /build/gpio_sim.ko '{modules}'",
    )


def _mmdebstrap(target, *options):
    run("mmdebstrap", "--quiet", *options, SUITE, target, f"deb {_mirror()} {SUITE} main")


def _mirror():
    if named := os.environ.get("DEBIAN_MIRROR"):
        return named
    lines = run("apt-get", "indextargets", "--format", "$(LABEL)|$(SITE)", "Created-By: Packages")
    sites = dict(line.split("|", 1) for line in lines.decode().splitlines())
    if "Debian" not in sites:
        raise BuildError("apt has no mirror of Debian here; name one: DEBIAN_MIRROR=URL")
    return sites["Debian"]
