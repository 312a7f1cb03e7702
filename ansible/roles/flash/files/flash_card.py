"""Write an image to an SD card, and only to an SD card; then prepare its first boot.

Three commands, each of which prints JSON: `inspect` tells what a device is and why it must not be
written to; `write` writes an image (.img, .img.xz), reads it back and compares; `seed` puts files,
given as JSON on standard input, on the card's first FAT partition. Nothing but Python's standard
library, util-linux and mtools is needed; nothing secret becomes a file of this machine.
"""

import argparse
import contextlib
import fcntl
import hashlib
import json
import lzma
import os
import re
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

_CHUNK = 4 << 20
_FLUSH_BUFFERS = 0x1261  # BLKFLSBUF of linux/fs.h: reads after it come from the card
_FAT_TYPES = {"b", "c", "e", "ef"}
_TELL_EVERY_S = 2.0


class Refused(Exception):  # noqa: N818 - it is no error of the program's
    """What was asked for would do harm, or cannot be done; the text says why."""


def _lines(*command: str | Path, data: bytes | None = None) -> bytes:
    done = subprocess.run(list(map(str, command)), input=data, capture_output=True, check=False)
    if done.returncode != 0:
        raise Refused(f"{command[0]}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def _tree(device: Path, *options: str) -> list[dict[str, Any]]:
    columns = "PATH,TYPE,SIZE,RM,HOTPLUG,RO,MOUNTPOINTS,FSTYPE,MODEL,SERIAL,TRAN"
    text = _lines("lsblk", "--json", "--bytes", "--output", columns, *options, device)
    found: list[dict[str, Any]] = json.loads(text)["blockdevices"]
    return found


def _below(nodes: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for node in nodes:
        yield node
        yield from _below(node.get("children", []))


def system_disks() -> set[str]:
    """Name the devices that the running system lies on, whole disks included."""
    found = set()
    for place in ("/", "/boot", "/boot/firmware", "/usr", "/var", "/home"):
        source = subprocess.run(
            ["findmnt", "--noheadings", "--output", "SOURCE", "--target", place],
            capture_output=True, text=True, check=False,
        ).stdout.partition("[")[0].strip()  # fmt: skip
        if source.startswith("/dev/"):
            found |= {node["path"] for node in _below(_tree(Path(source), "--inverse"))}
    return found


def inspect(device: Path, largest_bytes: int, *, fixed: bool) -> dict[str, Any]:
    """Tell what a device is, and every reason not to write to it.

    Args:
        device: a path in /dev.
        largest_bytes: more than a card has, less than a disk has.
        fixed: whether a device that cannot be removed may be written to.

    Raises:
        Refused: if it is no block device at all.
    """
    try:
        mode = device.stat().st_mode
    except OSError as error:
        raise Refused(f"{device}: {error.strerror}") from error
    if not stat.S_ISBLK(mode):
        raise Refused(f"{device} is no block device")
    device = device.resolve()
    [node] = _tree(device)
    reasons = []
    if node["type"] == "part":
        reasons.append(f"{device} is a partition; name the whole device")
    mounted = [m for n in _below([node]) for m in n.get("mountpoints") or [] if m]
    if mounted:
        reasons.append(f"{device} is mounted at {', '.join(mounted)}; unmount it")
    if str(device) in system_disks():
        reasons.append(f"{device} holds the running system")
    if not (node["rm"] or node["hotplug"]) and not fixed:
        reasons.append(f"{device} is not removable; say -e flash_fixed=true if it is the card")
    if node["size"] > largest_bytes:
        reasons.append(
            f"{device} has {node['size']:,} bytes, more than the {largest_bytes:,} that a card "
            f"may have; raise flash_largest_gib if it is the card"
        )
    if node["ro"]:
        reasons.append(f"{device} is write-protected")
    if not reasons and (user := _user_of(device)):
        reasons.append(user)
    about = {"size": node["size"], "model": (node["model"] or "").strip(), "serial": node["serial"]}
    return {"device": str(device), **about, "refusals": reasons}


def _user_of(device: Path) -> str:
    """Tell what else uses a device (swap, RAID, device mapper); the kernel knows."""
    try:
        os.close(os.open(device, os.O_RDONLY | os.O_EXCL))
    except OSError as error:
        return f"{device} is in use: {error.strerror}"
    return ""


class _Progress:
    """Lines on standard error, now and then: the playbook shows them as they come."""

    def __init__(self, word: str, total: int) -> None:
        self._word, self._total = word, total
        self._begin = self._told = time.monotonic()

    def tell(self, done: int, *, last: bool = False) -> None:
        now = time.monotonic()
        if now - self._told < _TELL_EVERY_S and not last:
            return
        self._told = now
        rate = done / max(1e-3, now - self._begin) / 1e6
        share = f"{100 * done / self._total:.0f} %" if self._total else f"{done / 1e6:,.0f} MB"
        sys.stderr.write(f"{self._word} {share}, {rate:.0f} MB/s\n")
        sys.stderr.flush()


def published(file: Path, image: Path) -> str:
    """Read an image's SHA-256 from the file that is published beside it, as sha256sum writes it.

    Raises:
        Refused: if it is missing, or has none or several for this image.
    """
    try:
        lines = file.read_text(errors="replace")[:1_000_000].splitlines()
    except OSError as error:
        raise Refused(f"{file}: {error.strerror}") from error
    found = [re.fullmatch(r"([0-9A-Fa-f]{64})(?:\s+\*?(.+))?", line.strip()) for line in lines]
    sums = {
        one[1].lower() for one in found if one and Path(one[2] or image.name).name == image.name
    }
    if len(sums) != 1:
        raise Refused(f"{file} has {len(sums)} SHA-256 sums for {image.name}, one is needed")
    return sums.pop()


def check_signature(image: Path, signature: Path, keyring: Path) -> None:
    """Check an image by the signature that is published beside it.

    Raises:
        Refused: if no key of the keyring made it for this file.
    """
    try:
        _lines("gpgv", "--quiet", "--keyring", keyring.resolve(), signature, image)
    except FileNotFoundError as error:
        raise Refused("gpgv is not installed, and the signature cannot be checked") from error
    except Refused as error:
        raise Refused(f"{signature} is no good signature of {image}: {error}") from error


def check_image(image: Path, sha256: str) -> None:
    """Compare an image file with its checksum.

    Raises:
        Refused: if it is missing or another.
    """
    try:
        with image.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise Refused(f"{image}: {error.strerror}") from error
    if found != sha256.lower():
        raise Refused(f"{image} has the SHA-256 {found}, not {sha256}; download it again")


def _opened(image: Path) -> BinaryIO:
    return lzma.open(image) if image.suffix == ".xz" else image.open("rb")  # type: ignore[return-value]


def _unpacked_size(image: Path) -> int:
    """Tell the size of what is in an image file; 0 if only unpacking would tell."""
    if image.suffix != ".xz":
        return image.stat().st_size
    with contextlib.suppress(Refused, OSError, IndexError, ValueError):
        for line in _lines("xz", "--robot", "--list", image).decode().splitlines():
            if line.startswith("totals"):
                return int(line.split("\t")[4])
    return 0


def write(image: Path, device: Path) -> dict[str, Any]:
    """Write an image, read it back and compare.

    Raises:
        Refused: if it does not fit, or what is read is not what was written.
    """
    size = _unpacked_size(image)
    handle = os.open(device, os.O_RDWR | os.O_EXCL)
    try:
        room = os.lseek(handle, 0, os.SEEK_END)
        os.lseek(handle, 0, os.SEEK_SET)
        if size > room:
            raise Refused(f"{image} needs {size:,} bytes, {device} has {room:,}")
        written, digest = _copy(image, handle, size, room)
        os.fsync(handle)
        with contextlib.suppress(OSError):
            fcntl.ioctl(handle, _FLUSH_BUFFERS)
        if _read_back(handle, written) != digest:
            raise Refused(f"{device} does not give back what was written: the card is bad or fake")
    finally:
        os.close(handle)
    return {"bytes": written, "sha256": digest}


def _copy(image: Path, handle: int, size: int, room: int) -> tuple[int, str]:
    digest, written = hashlib.sha256(), 0
    progress = _Progress("written", size)
    with _opened(image) as source:
        while chunk := _next(source, image):
            if written + len(chunk) > room:
                raise Refused(f"{image} does not fit: the device has {room:,} bytes")
            digest.update(chunk)
            view = memoryview(chunk)
            while view:
                view = view[os.write(handle, view) :]
            written += len(chunk)
            if written % (16 * _CHUNK) == 0:
                os.fdatasync(handle)  # or the progress shown would be that of a cache
            progress.tell(written)
    progress.tell(written, last=True)
    return written, digest.hexdigest()


def _next(source: BinaryIO, image: Path) -> bytes:
    try:
        return source.read(_CHUNK)
    except (EOFError, lzma.LZMAError) as error:
        raise Refused(f"{image} is damaged: {error}") from error


def _read_back(handle: int, length: int) -> str:
    digest, done = hashlib.sha256(), 0
    progress = _Progress("read back", length)
    os.lseek(handle, 0, os.SEEK_SET)
    while done < length:
        chunk = os.read(handle, min(_CHUNK, length - done))
        if not chunk:
            break
        digest.update(chunk)
        done += len(chunk)
        progress.tell(done)
    progress.tell(done, last=True)
    return digest.hexdigest()


def add_data_partition(device: Path, gib: float) -> None:
    """Make an ext4 partition at the card's end, for a read-only root; its label is the role's.

    Raises:
        Refused: if there is no room for it.
    """
    with device.open("rb") as file:
        sectors = file.seek(0, os.SEEK_END) // 512
    start = (sectors - int(gib * (1 << 30)) // 512) // 8192 * 8192  # erase blocks of 4 MiB
    if start <= 0:
        raise Refused(f"{device} has no room for a data partition of {gib} GiB")
    line = f"start={start}, type=linux\n".encode()
    _lines("sfdisk", "--quiet", "--append", "--no-reread", device, data=line)
    place, length = f"offset={start * 512}", f"{(sectors - start) // 2}k"
    _lines("mkfs.ext4", "-q", "-F", "-L", "protoledger-data", "-E", place, device, length)


def boot_partition(device: Path) -> int:
    """Find the first FAT partition by the device's own table, and tell its offset in bytes.

    Raises:
        Refused: if there is none.
    """
    table = json.loads(_lines("sfdisk", "--json", device))["partitiontable"]
    for partition in table.get("partitions", []):
        if partition["type"].lower().removeprefix("0x") in _FAT_TYPES:
            return int(partition["start"]) * int(table.get("sectorsize", 512))
    raise Refused(f"{device} has no FAT partition: is this a Raspberry Pi image?")


def with_block(text: str, lines: list[str]) -> str:
    r"""Put lines in a block of config.txt, as the role `overlays` does, which then changes nothing.

    >>> with_block("dtparam=audio=on\n", ["dtparam=spi=on"]).splitlines()[1:4]
    ['# BEGIN protoledger', '[all]', 'dtparam=spi=on']
    """
    begin, end = "# BEGIN protoledger\n", "# END protoledger\n"
    head, _, rest = text.partition(begin)
    if head and not head.endswith("\n"):
        head += "\n"
    tail = rest.partition(end)[2]
    return head + begin + "\n".join(["[all]", *lines]) + "\n" + end + tail


def seed(device: Path, files: dict[str, str], config: list[str]) -> dict[str, Any]:
    """Put files on the boot partition and add lines to its config.txt; read all of it back.

    Raises:
        Refused: if they cannot be written, or read back differently.
    """
    place = f"{device}@@{boot_partition(device)}"
    if config:
        try:
            before = _lines("mtype", "-i", place, "::config.txt").decode()
        except Refused:
            before = ""
        files = {**files, "config.txt": with_block(before, config)}
    for name, content in files.items():
        _lines("mcopy", "-o", "-i", place, "-", f"::{name}", data=content.encode())
        if _lines("mtype", "-i", place, f"::{name}") != content.encode():
            raise Refused(f"{name} reads back differently from {device}")
    os.sync()
    return {"files": sorted(files)}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    words = parser.add_subparsers(dest="word", required=True)
    look = words.add_parser("inspect", help="what a device is, and why not to write to it")
    put = words.add_parser("write", help="write an image and read it back")
    first = words.add_parser("seed", help='files of {"files": {…}, "config": […]} on stdin')
    for word in (look, put):
        word.add_argument("--largest-gib", type=float, default=128.0)
        word.add_argument("--fixed", action="store_true")
    put.add_argument("--image", type=Path, required=True)
    put.add_argument("--sha256", default="")
    put.add_argument("--data-gib", type=float, default=0.0)
    for name in ("--sha256-file", "--signature", "--keyring"):
        put.add_argument(name, type=Path)
    for word in (look, put, first):
        word.add_argument("device", type=Path)
    return parser.parse_args()


def _check(given: argparse.Namespace) -> None:
    if not (given.sha256 or given.sha256_file or given.signature):
        raise Refused("nothing says what the image must be: no checksum and no signature")
    if given.sha256:
        check_image(given.image, given.sha256)
    if given.sha256_file:
        check_image(given.image, published(given.sha256_file, given.image))
    if given.signature:
        if not given.keyring:
            raise Refused("a signature is checked by the keys of a keyring: name one")
        check_signature(given.image, given.signature, given.keyring)


def _do(given: argparse.Namespace) -> dict[str, Any]:
    if given.word == "seed":
        asked = json.load(sys.stdin)
        return seed(given.device, asked["files"], asked["config"])
    seen = inspect(given.device, int(given.largest_gib * (1 << 30)), fixed=given.fixed)
    if given.word == "inspect":
        return seen
    if seen["refusals"]:
        raise Refused("; ".join(seen["refusals"]))
    _check(given)
    written = write(given.image, Path(seen["device"]))
    if given.data_gib:
        add_data_partition(Path(seen["device"]), given.data_gib)
    return written


def main() -> int:
    """Run the command line; exit code 1: refused, with the reason as JSON."""
    try:
        result = _do(_arguments())
    except (Refused, OSError) as error:
        sys.stdout.write(json.dumps({"refused": str(error)}) + "\n")
        return 1
    sys.stdout.write(json.dumps(result) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
