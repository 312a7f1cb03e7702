"""Cards for the tests of flashing: a small image, loop devices, and the playbook on one of them."""

import hashlib
import lzma
import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
FIRST = 2048 * 512
_NEEDED = ("losetup", "sfdisk", "mformat", "mcopy", "mtype", "lsblk", "mkfs.ext4")


def missing() -> str:
    """Say why cards cannot be made here; nothing if they can."""
    if os.geteuid() != 0:
        return "loop devices need root"
    absent = [tool for tool in _NEEDED if shutil.which(tool) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""


def run(*command, data: str | None = None) -> subprocess.CompletedProcess:
    words = [str(word) for word in command]
    return subprocess.run(words, input=data, capture_output=True, text=True, check=False)


def make_image(folder: Path) -> Path:
    """Make an image as Raspberry Pi OS has it: a FAT partition with config.txt, and another."""
    plain = folder / "small.img"
    plain.write_bytes(os.urandom(4096) * (24 << 20 >> 12))
    table = "label: dos\n2048,16384,c\n18432,,83\n"
    assert run("sfdisk", "--quiet", plain, data=table).returncode == 0
    place = f"{plain}@@{FIRST}"
    assert run("mformat", "-i", place, "-T", "16384", "::").returncode == 0
    config = folder / "config.txt"
    config.write_text("# as it was\ndtparam=audio=on\n")
    assert run("mcopy", "-i", place, config, "::config.txt").returncode == 0
    packed = folder / "small.img.xz"
    with lzma.open(packed, "wb", preset=0) as file:
        file.write(plain.read_bytes())
    return packed


def attach(file: Path, megabytes: int = 40) -> tuple[str, str]:
    """Attach a loop device of a size; gives its path, or why there is none."""
    with file.open("wb") as opened:
        opened.truncate(megabytes << 20)
    done = run("losetup", "--find", "--show", file)
    return done.stdout.strip(), done.stderr.strip()


def detach(device: str) -> None:
    run("losetup", "--detach", device)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def on_card(device: Path, name: str) -> str:
    return run("mtype", "-i", f"{device}@@{FIRST}", f"::{name}").stdout


def play(
    tmp_path: Path, device: Path, image: Path, *options: str, **changes
) -> subprocess.CompletedProcess:
    inventory = tmp_path / "inventory.yml"
    variables = {
        "ansible_user": "pi",
        "fleet_sites": {"attic": {"broker": {"host": "192.0.2.1"}}},
        "fleet_channels": [{"name": "temperature", "low": -10, "high": 50, "step": 0.1}],
        "fleet_site": "attic",
        "fleet_kit": "climate",
        "flash_ssh_keys": ["ssh-ed25519 AAAA me@home"],
        "flash_timezone": "Europe/Madrid",
        "flash_wifi_ssid": "attic",
        "flash_wifi_passphrase": "not to be seen",
        "flash_device": str(device),
        "flash_image": str(image),
        "flash_sha256": digest(image),
        "flash_fixed": True,
        **changes,
    }
    hosts = {"attic-pi-1": None}
    content = {"all": {"vars": variables, "children": {"agents": {"hosts": hosts}}}}
    inventory.write_text(yaml.safe_dump(content))
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible/ansible.cfg"),
        "ANSIBLE_HOME": str(tmp_path / "ansible"),
        "ANSIBLE_NOCOLOR": "1",
    }
    command = [Path(sys.executable).parent / "ansible-playbook", "--inventory", inventory]
    command += [ROOT / "ansible/playbooks/flash.yml", "-e", "host=attic-pi-1", *options]
    return subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
