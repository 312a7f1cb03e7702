"""Build the wheel twice, refuse it unless both are equal byte for byte, and write its SBOM.

    python scripts/locks/release.py [FOLDER]

writes `protoledger-VERSION-py3-none-any.whl`, `protoledger-VERSION.cdx.json` (CycloneDX 1.6: every
package of requirements.lock, with its hashes) and `SHA256SUMS` to FOLDER (`dist`). All three depend
on nothing but the tree and SOURCE_DATE_EPOCH, which is that of the last commit unless it is set.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PINNED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;\\]+)(?: ; (?P<marker>[^\\]+))?")
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
LICENCE = "Apache-2.0"


def main(folder: Path) -> None:
    """Build, compare, and write all three files."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH") or last_commit()
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        wheel, again = build(Path(one), epoch), build(Path(other), epoch)
        if wheel.name != again.name or wheel.read_bytes() != again.read_bytes():
            sys.exit(f"release: {wheel.name} differs between two builds; it is not reproducible")
        folder.mkdir(parents=True, exist_ok=True)
        kept = folder / wheel.name
        shutil.copyfile(wheel, kept)
    version = kept.name.split("-")[1]
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    content = sbom(version, lock, digest(kept), int(epoch))
    listed = folder / f"protoledger-{version}.cdx.json"
    listed.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    sums = "".join(f"{digest(path)}  {path.name}\n" for path in (kept, listed))
    (folder / "SHA256SUMS").write_text(sums, encoding="ascii")
    sys.stdout.write(f"{sums}built twice, equal; {len(content['components'])} packages\n")


def last_commit() -> str:
    """Return when the last commit was made, in seconds since 1970."""
    command = ["git", "log", "-1", "--format=%ct"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit("release: this is no repository; set SOURCE_DATE_EPOCH")
    return done.stdout.strip()


def build(folder: Path, epoch: str) -> Path:
    """Build the wheel into an empty folder."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    environment = os.environ | {"SOURCE_DATE_EPOCH": epoch}
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env=environment)
    (wheel,) = folder.glob("*.whl")
    return wheel


def sbom(version: str, lock: str, wheel_sha256: str, epoch: int) -> dict[str, object]:
    """Return the bill of materials of a lock, as CycloneDX 1.6 has it."""
    own = f"pkg:pypi/protoledger@{version}"
    components = sorted(packages(lock), key=lambda one: (one["name"], one["version"]))
    serial = uuid.uuid5(uuid.NAMESPACE_URL, f"{own}#{wheel_sha256}")
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "application",
                "bom-ref": own,
                "name": "protoledger",
                "version": version,
                "purl": own,
                "licenses": [{"license": {"id": LICENCE}}],
                "hashes": [{"alg": "SHA-256", "content": wheel_sha256}],
            },
        },
        "components": components,
        "dependencies": [
            {"ref": own, "dependsOn": [str(one["bom-ref"]) for one in components]},
        ],
    }


def packages(lock: str) -> list[dict[str, object]]:
    """Return the components of a lock with hashes; one that is pinned by platform stands twice."""
    found: list[dict[str, object]] = []
    files: list[dict[str, str]] = []
    for line in lock.splitlines():
        if pinned := PINNED.match(line):
            name, version = pinned["name"].lower().replace("_", "-"), pinned["version"]
            files = []
            purl = f"pkg:pypi/{name}@{version}"
            one: dict[str, object] = {
                "type": "library",
                "bom-ref": purl,
                "name": name,
                "version": version,
                "purl": purl,
                "externalReferences": [
                    {"type": "distribution", "url": f"{purl}", "hashes": files},
                ],
            }
            if pinned["marker"]:
                marker = pinned["marker"].strip()
                one["properties"] = [{"name": "protoledger:marker", "value": marker}]
            found.append(one)
        files += [{"alg": "SHA-256", "content": sha} for sha in HASH.findall(line)]
    return found


def digest(path: Path) -> str:
    """Return a file's SHA-256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else ROOT / "dist")
