"""What is released depends on the tree alone: wheel, bill of materials and sums."""

import json
import os
import re
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """Two releases of one tree, made at another time, in another place and under another umask."""
    folders = []
    for umask in (0o022, 0o077):
        folder = tmp_path_factory.mktemp("release") / "dist"
        subprocess.run(
            [sys.executable, ROOT / "scripts/locks/release.py", folder],
            check=True, capture_output=True, umask=umask, cwd=folder.parent,
            env=os.environ | {"SOURCE_DATE_EPOCH": "1700000000"},
        )  # fmt: skip
        folders.append(folder)
    return folders


def test_two_releases_are_equal_byte_for_byte(released):
    one, other = ({p.name: p.read_bytes() for p in folder.iterdir()} for folder in released)
    assert sorted(one) == sorted(other)
    assert len(one) == 3
    for name, content in one.items():
        assert content == other[name], name


def test_the_sbom_lists_what_the_lock_pins(released):
    (path,) = released[0].glob("*.cdx.json")
    found = json.loads(path.read_text())
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.6")
    uuid.UUID(found["serialNumber"].removeprefix("urn:uuid:"))
    assert found["metadata"]["timestamp"] == "2023-11-14T22:13:20Z"
    lock = (ROOT / "requirements.lock").read_text()
    pinned = set(re.findall(r"^([a-z0-9._-]+==[^ ;\\]+)", lock, re.MULTILINE))
    listed = {f"{one['name']}=={one['version']}" for one in found["components"]}
    assert listed == {name.replace("_", "-") for name in pinned}
    hashes = [
        entry["content"]
        for one in found["components"]
        for reference in one["externalReferences"]
        for entry in reference["hashes"]
    ]
    assert sorted(hashes) == sorted(re.findall(r"--hash=sha256:(\w+)", lock))
    (wheel,) = released[0].glob("*.whl")
    sums = (released[0] / "SHA256SUMS").read_text()
    digest = found["metadata"]["component"]["hashes"][0]["content"]
    assert f"{digest}  {wheel.name}\n" in sums
    refs = [one["bom-ref"] for one in found["components"]]
    assert len(set(refs)) == len(refs), "a reference names one component"
