"""A new authority in place of the old one, while every device trusts both.

The change has three steps, and what the controller's folder holds says which has been done:

    stage    pki/next/       devices learn to trust the new authority; the old one still signs
    switch   pki/previous/   the new one signs; the old one is still trusted
    drop     -               the old one is trusted no longer

Between the steps the new files are handed out, so a run that ends early is continued by the next
one, and no device refuses another at any time. Authorities have different names, because OpenSSL
looks up lists of revoked certificates by name.
"""

import shutil
from datetime import UTC, datetime
from pathlib import Path

from protoledger.runtime.pki.certificates import Authority

_SWITCHING = "pki.switching"


def recover(folder: Path) -> None:
    """Finish a switch that was interrupted between two renames.

    Args:
        folder: the owner's, as of all functions here.
    """
    fresh, pki = folder / _SWITCHING, folder / "pki"
    if not fresh.is_dir():
        return
    if pki.is_dir() and not (fresh / "previous").exists():
        pki.rename(fresh / "previous")
    fresh.rename(pki)


def stage(folder: Path, name: str, days: int) -> bool:
    """Make the next authority, unless a change is under way; says whether it did."""
    if len(_folders(folder)) > 1:
        return False
    scratch = folder / "pki" / ".next.new"
    shutil.rmtree(scratch, ignore_errors=True)
    Authority.create(scratch, f"{name} {datetime.now(UTC):%Y-%m-%d %H:%M:%S}", days)
    scratch.rename(folder / "pki/next")
    return True


def switch(folder: Path) -> bool:
    """Let the next authority sign; says whether there was one."""
    if not (folder / "pki/next").is_dir():
        return False
    (folder / "pki/next").rename(folder / _SWITCHING)
    recover(folder)
    return True


def drop(folder: Path) -> bool:
    """Forget the previous authority and its key; says whether there was one."""
    there = (folder / "pki/previous").is_dir()
    shutil.rmtree(folder / "pki/previous", ignore_errors=True)
    return there


def trusted(folder: Path) -> str:
    """Give the certificates of all trusted authorities, PEM; the one that signs is the first."""
    return "".join((pki / "ca.crt").read_text() for pki in _folders(folder))


def revoked(folder: Path) -> str:
    """Give the lists of revoked certificates, one for each trusted authority."""
    return "".join((pki / "crl.pem").read_text() for pki in _folders(folder))


def revoke(folder: Path, names: list[str], serials: set[int], *, dry: bool = False) -> bool:
    """Revoke serial numbers, and all that devices have or may get; says whether any was new.

    Each authority lists the numbers: they are random, so that no other certificate has them.
    """
    authorities = [Authority(pki) for pki in _folders(folder)]
    wanted = serials.union(*(one.serials(name) for one in authorities for name in names))
    behind = [one for one in authorities if not wanted <= one.revoked()]
    for authority in behind if not dry else []:
        authority.revoke(sorted(wanted))
    return bool(behind)


def _folders(folder: Path) -> list[Path]:
    pki = folder / "pki"
    return [one for one in (pki, pki / "next", pki / "previous") if (one / "ca.crt").exists()]
