"""Flashing: onto a loop device in place of a card, and every reason not to write, by its reason."""

import contextlib
import hashlib
import importlib.util
import json
import lzma
import os
import shutil
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.support.sd_cards import (
    FIRST,
    ROOT,
    attach,
    detach,
    digest,
    make_image,
    missing,
    on_card,
    play,
    run,
)

SCRIPT = ROOT / "ansible/roles/flash/files/flash_card.py"

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "cards can be made")


def flash_card(*words, data: str | None = None) -> dict:
    done = run(sys.executable, SCRIPT, *words, data=data)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Path:
    return make_image(tmp_path_factory.mktemp("image"))


@pytest.fixture
def card(tmp_path):
    """Attach loop devices of a size; they are gone after the test."""
    attached = []

    def make(megabytes: int = 40) -> Path:
        device, problem = attach(tmp_path / f"card-{len(attached)}", megabytes)
        if problem:
            pytest.skip(f"no loop device to be had: {problem}")
        attached.append(device)
        return Path(device)

    yield make
    for device in attached:
        detach(device)


@pytest.fixture(scope="module")
def flash():
    spec = importlib.util.spec_from_file_location("flash_card", SCRIPT)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def write(device: Path, image: Path, sha256: str | None = None) -> dict:
    given = ("--image", image, "--sha256", sha256 or digest(image))
    return flash_card("write", device, "--fixed", *given)


def test_what_is_written_is_what_the_image_holds(card, image):
    device = card()
    with lzma.open(image) as file:
        expected = file.read()
    told = write(device, image)
    assert told == {"bytes": len(expected), "sha256": hashlib.sha256(expected).hexdigest()}
    with device.open("rb") as file:
        assert file.read(len(expected)) == expected


def test_a_plain_image_is_written_too(card, image, tmp_path):
    device, plain = card(), tmp_path / "plain.img"
    with lzma.open(image) as file:
        plain.write_bytes(file.read())
    assert write(device, plain)["sha256"] == digest(plain)


def refusals(device: Path, *options) -> list[str]:
    return flash_card("inspect", device, *options)["refusals"]


def test_a_good_card_is_not_refused(card):
    assert refusals(card(), "--fixed") == []


def test_refuses_what_is_not_removable(card):
    device = card()
    assert refusals(device) == [
        f"{device} is not removable; say -e flash_fixed=true if it is the card"
    ]


def test_refuses_what_is_larger_than_a_card(card):
    [reason] = refusals(card(), "--fixed", "--largest-gib", "0.01")
    assert "has 41,943,040 bytes, more than the 10,737,418 that a card may have" in reason


def test_refuses_what_is_mounted(card, tmp_path):
    device, place = card(), tmp_path / "mounted"
    place.mkdir()
    assert run("mkfs.ext4", "-q", device).returncode == 0
    if run("mount", device, place).returncode != 0:
        pytest.skip("this machine cannot mount ext4")
    try:
        assert refusals(device, "--fixed") == [f"{device} is mounted at {place}; unmount it"]
    finally:
        run("umount", place)


def test_refuses_what_something_else_uses(card):
    device = card()
    handle = os.open(device, os.O_RDONLY | os.O_EXCL)
    try:
        assert refusals(device, "--fixed") == [f"{device} is in use: Device or resource busy"]
    finally:
        os.close(handle)


def test_refuses_the_disk_of_the_running_system():
    source = run("findmnt", "--noheadings", "--output", "SOURCE", "/").stdout.strip()
    if not source.startswith("/dev/"):
        pytest.skip(f"the root file system lies on {source}, no device")
    assert f"{source} holds the running system" in refusals(Path(source), "--fixed")


def test_refuses_what_is_no_block_device(tmp_path):
    (tmp_path / "file").touch()
    for path, reason in ((tmp_path / "file", "is no block device"), (tmp_path / "x", "No such")):
        assert reason in flash_card("inspect", path, "--fixed")["refused"]


def test_refuses_an_image_with_another_checksum_before_writing(card, image):
    device = card()
    told = write(device, image, "0" * 64)
    assert f"has the SHA-256 {digest(image)}, not {'0' * 64}" in told["refused"]
    assert not any(device.open("rb").read(1 << 20))


def test_the_published_sum_beside_the_image_is_the_one_that_counts(tmp_path, flash):
    image, published = tmp_path / "small.img.xz", tmp_path / "small.img.xz.sha256"
    image.write_bytes(b"image")
    good, other = digest(image), "0" * 64
    for text in (
        good,
        f"{good}  small.img.xz",
        f"{good.upper()} *release/{image.name}\n{other}  x",
    ):
        published.write_text(text + "\n")
        assert flash.published(published, image) == good
    for text in ("", "<html>not found</html>", f"{good} x", f"{good}\n{other}"):
        published.write_text(text)
        with pytest.raises(flash.Refused, match=r"has [02] SHA-256 sums for small\.img\.xz"):
            flash.published(published, image)
    with pytest.raises(flash.Refused, match="No such file"):
        flash.published(tmp_path / "none", image)


def test_the_published_signature_must_be_by_a_key_of_the_keyring(tmp_path, flash):
    if not (shutil.which("gpg") and shutil.which("gpgv")):
        pytest.skip("gpg and gpgv are not installed")
    image = tmp_path / "small.img"
    image.write_bytes(b"image")

    def gpg(home, *words):
        (tmp_path / home).mkdir(mode=0o700, exist_ok=True)
        done = run("gpg", "--homedir", tmp_path / home, "--batch", "--quiet", *words)
        run("gpgconf", "--homedir", tmp_path / home, "--kill", "gpg-agent")
        assert done.returncode == 0, done.stderr

    for home in ("publisher", "other"):
        gpg(home, "--passphrase", "", "--quick-generate-key", home, "ed25519", "sign", "never")
        gpg(home, "--output", tmp_path / f"{home}.gpg", "--export")
    signature = tmp_path / "small.img.sig"
    gpg("publisher", "--output", signature, "--detach-sign", image)
    flash.check_signature(image, signature, tmp_path / "publisher.gpg")
    with pytest.raises(flash.Refused, match="no good signature"):
        flash.check_signature(image, signature, tmp_path / "other.gpg")
    image.write_bytes(b"another image")
    with pytest.raises(flash.Refused, match="no good signature"):
        flash.check_signature(image, signature, tmp_path / "publisher.gpg")


def test_a_data_partition_is_made_at_the_card_s_end(card, image):
    device = card(80)
    before = write(device, image)
    told = flash_card(
        "write", device, "--fixed", "--image", image, "--sha256", digest(image),
        "--data-gib", str(32 / 1024),
    )  # fmt: skip
    assert told == before, "what was read back is the image"
    table = json.loads(run("sfdisk", "--json", device).stdout)["partitiontable"]["partitions"]
    assert len(table) == 3
    start = table[-1]["start"] * 512
    assert (80 << 20) - start >= 32 << 20
    assert start % (4 << 20) == 0
    seen = run("blkid", "--probe", "--offset", start, "--output", "export", device).stdout
    assert "LABEL=protoledger-data" in seen
    assert "TYPE=ext4" in seen
    small = ("--image", image, "--sha256", digest(image), "--data-gib", "2")
    assert "no room" in flash_card("write", device, "--fixed", *small)["refused"]


def test_an_image_that_nothing_vouches_for_is_not_written(card, image):
    told = flash_card("write", card(), "--fixed", "--image", image)
    assert "no checksum and no signature" in told["refused"]


def test_refuses_an_image_that_does_not_fit(card, image):
    device = card(8)
    assert "needs 25,165,824 bytes" in write(device, image)["refused"]
    assert not any(device.open("rb").read(1 << 20))


def test_refuses_an_image_that_is_cut_off(card, image, tmp_path):
    cut = tmp_path / "cut.img.xz"
    cut.write_bytes(image.read_bytes()[:-2000])
    assert f"{cut} is damaged" in write(card(), cut)["refused"]


def test_tells_a_card_that_gives_back_something_else(card, image, monkeypatch, flash):
    monkeypatch.setattr(flash, "_read_back", lambda *_: "0" * 64)
    with pytest.raises(flash.Refused, match="the card is bad or fake"):
        flash.write(image, card())


def test_refuses_to_seed_what_has_no_boot_partition(card):
    told = flash_card("seed", card(), data='{"files": {}, "config": []}')
    assert "refused" in told


def test_flash_yml_prepares_a_first_boot_by_cloud_init(card, image, tmp_path):
    device = card()
    done = play(tmp_path, device, image, "-e", f"confirm={device}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "written 100 %" in done.stdout
    assert "read back 100 %" in done.stdout
    user_data = on_card(device, "user-data")
    assert user_data.startswith("#cloud-config\n")
    user = yaml.safe_load(user_data)
    assert (user["hostname"], user["timezone"]) == ("attic-pi-1", "Europe/Madrid")
    assert user["users"][0]["ssh_authorized_keys"] == ["ssh-ed25519 AAAA me@home"]
    meta = yaml.safe_load(on_card(device, "meta-data"))
    assert meta["instance-id"].startswith("attic-pi-1-")
    assert meta["local-hostname"] == "attic-pi-1"
    network = yaml.safe_load(on_card(device, "network-config"))
    password = network["wifis"]["wlan0"]["access-points"]["attic"]["password"]
    expected = hashlib.pbkdf2_hmac("sha1", b"not to be seen", b"attic", 4096, 32).hex()
    assert password == expected
    assert on_card(device, "config.txt").startswith("# as it was\ndtparam=audio=on\n")
    assert "not to be seen" not in device.open("rb").read(FIRST + (8 << 20)).decode("latin-1")
    assert expected not in done.stdout + done.stderr
    left = [p for p in tmp_path.rglob("*") if p.is_file() and p.name.startswith("card") is False]
    for path in left:
        with contextlib.suppress(UnicodeDecodeError):
            assert expected not in path.read_text()


def test_flash_yml_prepares_a_first_boot_of_bookworm(card, image, tmp_path):
    device = card()
    changes = {"flash_first_boot": "custom.toml", "fleet_kit": "plant"}
    done = play(tmp_path, device, image, "-e", f"confirm={device}", **changes)
    assert done.returncode == 0, done.stdout + done.stderr
    custom = tomllib.loads(on_card(device, "custom.toml"))
    assert custom["system"]["hostname"] == "attic-pi-1"
    assert custom["ssh"]["authorized_keys"] == ["ssh-ed25519 AAAA me@home"]
    assert on_card(device, "config.txt").endswith(
        "\n# BEGIN protoledger\n[all]\ndtparam=spi=on\ndtoverlay=w1-gpio,gpiopin=4\n"
        "# END protoledger\n"
    )


def test_flash_yml_writes_nothing_unless_the_device_is_named(card, image, tmp_path):
    device = card()
    done = play(tmp_path, device, image, "-e", "confirm=/dev/sdz")
    assert done.returncode != 0
    assert f"/dev/sdz was typed, the device is {device}; nothing was written" in " ".join(
        done.stdout.split()
    )
    assert not any(device.open("rb").read(1 << 20))


def test_flash_yml_refuses_by_the_reason(card, image, tmp_path):
    device = card()
    done = play(tmp_path, device, image, "-e", f"confirm={device}", flash_fixed=False)
    assert done.returncode != 0
    assert f"{device} is not removable" in " ".join(done.stdout.split())
