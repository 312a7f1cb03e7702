"""The initramfs that finds the guest's root file system.

Its scripts are those of Debian's packages `initramfs-tools` and `overlayroot`, unchanged, as a Pi
with a read-only root runs them. Only what mkinitramfs would do on the Pi, choosing programs and
modules, is done here, because nothing of arm64 runs on the host.
"""

import shutil
import tempfile
from pathlib import Path

from tests.pi.system.pi_tools import pack, run

_SCRIPTS = "usr/share/initramfs-tools"
_FOLDERS = ["bin", "conf/conf.d", "dev", "lib", "proc", "root", "run", "sbin", "sys", "tmp"]
# what mkinitramfs writes for the stage, and what udev's script does there, which has no udev here
_LAST = """\
/scripts/init-bottom/overlayroot "$@"
mount -n -o move /dev "${rootmnt}/dev"
"""
_KLIBC = ("fstype", "run-init")
_BUSYBOX = (
    *("[", "awk", "basename", "cat", "chmod", "chroot", "cp", "cut", "date", "dirname", "dmesg"),
    *("echo", "false", "find", "grep", "halt", "head", "ln", "ls", "mkdir", "mknod", "mktemp"),
    *("modprobe", "mount", "mv", "printf", "readlink", "reboot", "rm", "sed", "sh", "sleep"),
    *("sort", "stat", "switch_root", "sync", "tail", "test", "touch", "tr", "true", "umount"),
    *("uname", "wc"),
)


def write_initramfs(system, modules, target):
    """Write it.

    Args:
        system: the tree of the root file system.
        modules: those that it loads, in the kernel's spelling.
        target: the archive.
    """
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        for name in _FOLDERS:
            (tree / name).mkdir(parents=True, exist_ok=True)
        _copy_scripts(system / _SCRIPTS, tree)
        _copy_programs(system, tree)
        _copy_modules(system, modules, tree)
        pack(tree, target)


def _copy_scripts(source, tree):
    shutil.copy(source / "init", tree / "init")
    shutil.copytree(source / "scripts", tree / "scripts")
    for stage in tree.glob("scripts/*/"):
        (stage / "ORDER").write_text(_LAST if stage.name == "init-bottom" else "")
    (tree / "conf/arch.conf").write_text("DPKG_ARCH=arm64\n")
    shutil.copy(source.parents[2] / "etc/initramfs-tools/initramfs.conf", tree / "conf")


def _copy_programs(system, tree):
    for source in (*system.glob("lib/klibc-*.so"), system / "bin/busybox"):
        target = tree / source.relative_to(system)
        shutil.copy(source, target)
    for name in _KLIBC:
        shutil.copy(system / "usr/lib/klibc/bin" / name, tree / "bin" / name)
    for name in _BUSYBOX:
        (tree / "bin" / name).symlink_to("busybox")
    (tree / "sbin/modprobe").symlink_to("/bin/busybox")


def _copy_modules(system, modules, tree):
    for path in system.glob("lib/modules/*/kernel/**/*.ko*"):
        if path.name.partition(".")[0].replace("-", "_") in modules:
            target = tree / path.relative_to(system)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    (version,) = (path.name for path in (tree / "lib/modules").iterdir())
    run("depmod", "--basedir", tree, version)
    (tree / "conf/modules").write_text("".join(f"{name}\n" for name in modules))
