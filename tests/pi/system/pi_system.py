"""The Debian that the emulated Pi boots: its kernel, its initramfs and the tree of its root.

It comes from the mirror that this machine's apt uses, or from that in the environment variable
DEBIAN_MIRROR. Nothing of arm64 is run here: packages are unpacked and not set up, and the module is
cross-compiled in a throw-away Debian of this machine's architecture. About 250 MB are loaded, once.
"""

import os
import shutil

from tests.pi.system.pi_initramfs import write_initramfs
from tests.pi.system.pi_tools import HERE, PYTHON, BuildError, cached, compile_python, run

SUITE = (
    "bookworm"  # as Raspberry Pi OS has it; its Python 3.11 is the last that lgpio has a wheel for
)

_PACKAGES = (
    *("base-files", "base-passwd", "coreutils", "e2fsprogs", "iproute2", "kmod", "libstdc++6"),
    *("linux-image-arm64", "mount", "python3", "systemd-sysv", "udev"),
    *("busybox-static", "initramfs-tools-core", "klibc-utils", "overlayroot"),
)
_LEFT_OUT = (
    *("./dev/*", "./usr/share/doc", "./usr/share/locale", "./usr/share/man"),
    *("./usr/lib/linux-image-*", "./usr/share/perl", "./var/run"),
)
# what the guest loads, and what that needs
_MODULES = (
    *("virtio", "virtio_ring", "virtio_mmio", "virtio_net", "net_failover", "failover"),
    *("virtio_console", "configfs", "industrialio", "dht11", "spi_gpio", "spi_bitbang"),
    *("i2c_gpio", "i2c_algo_bit", "i2c_dev", "wire", "w1_therm"),
    "gpio_fan",
)
# what is found before the root file system is
_FIRST_MODULES = (
    *("virtio", "virtio_ring", "virtio_mmio", "virtio_blk", "ext4", "mbcache", "jbd2", "crc16"),
    *("crc32c_generic", "libcrc32c", "overlay"),
)
# Raspberry Pi OS gives its device nodes to these groups.
_GROUPS = "gpio:x:990:\ni2c:x:991:\nspi:x:992:\n"


def system():
    """Make, or find, the folder with `vmlinuz`, `initramfs` and the system itself, `tree`."""
    recipe = [HERE / name for name in ("pi_system.py", "pi_initramfs.py", "build_gpio_sim.sh")]
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
        if path.name.partition(".")[0].replace("-", "_") not in {*_MODULES, *_FIRST_MODULES}:
            path.unlink()
    _build_simulator(version, modules)
    run("depmod", "--basedir", tree, version)
    write_initramfs(tree, _FIRST_MODULES, folder / "initramfs")
    _set_up(tree)


def _set_up(tree):
    """Do what the packages' own scripts would do, as far as it is needed here."""
    for name in ("passwd", "group"):
        shutil.copy(tree / f"usr/share/base-passwd/{name}.master", tree / "etc" / name)
    with (tree / "etc/group").open("a") as groups:
        groups.write(_GROUPS)
    (tree / "var/run").symlink_to("/run")
    (tree / "var/log/journal").mkdir()
    compile_python(tree / f"usr/lib/python{PYTHON}", tree)
    for name in ("boot", "dev", "media", "proc", "sys", "run", "tmp"):
        (tree / name).mkdir(exist_ok=True)


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
