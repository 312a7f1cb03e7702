"""Ansible filters for hosts: reboots within a window, one of a site at a time; names of units."""

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY_MIN = 24 * 60


def neighbours(host: str, hosts: list[str], hostvars: Mapping[str, Any]) -> list[str]:
    """Name the hosts that must not be off together with `host`, and itself, sorted.

    Those are its site's, and those that belong to no site, as the hub does, which all sites need;
    these come first, so that their turns are the same for all. Hosts of two sites may have the
    same turn.
    """
    own = hostvars[host].get("fleet_site")
    shared = sorted(one for one in hosts if hostvars[one].get("fleet_site") is None)
    same = sorted(one for one in hosts if hostvars[one].get("fleet_site") == own)
    return shared + (same if own is not None else [])


def reboot_times(window: Mapping[str, Any], minutes: int, host: str, among: list[str]) -> list[str]:
    """Give the times, as systemd's timers take them, at which a host may reboot.

    Each host has its own minutes of the window, and no two of `among` the same. A window that is
    too short for all of them on one of its days is continued on the next.

    Args:
        window: `days`, `from` and `to`; one that ends before it begins lasts past midnight.
        minutes: what a host may need until it is back.
        host: the host.
        among: it and its neighbours, in an order that is the same for all.

    >>> reboot_times({"days": ["Sun"], "from": "23:30", "to": "00:30"}, 30, "b", ["a", "b"])
    ['Mon *-*-* 00:00:00']
    """
    days, begin, length = _read(window)
    turns = length // int(minutes) if int(minutes) > 0 else 0
    place = among.index(host)
    if place >= turns * len(days):
        raise AnsibleFilterError(
            f"base_reboot_window: {len(among)} hosts need {minutes} minutes each, one after the "
            f"other, and it has room for {turns * len(days)}: name more days, or more hours"
        )
    day, turn = days[place // turns], place % turns
    at = begin + turn * int(minutes)
    day = (day + at // _DAY_MIN) % len(_DAYS)
    return [f"{_DAYS[day]} *-*-* {at % _DAY_MIN // 60:02}:{at % 60:02}:00"]


def _read(window: Mapping[str, Any]) -> tuple[list[int], int, int]:
    """Read a window: its days, the minute of the day when it begins, and its minutes."""
    if unknown := sorted(set(window) - {"days", "from", "to"}):
        raise AnsibleFilterError(f"base_reboot_window.{unknown[0]}: there are days, from and to")
    named = [str(day)[:3].capitalize() for day in window.get("days") or _DAYS]
    if strange := [day for day in named if day not in _DAYS]:
        raise AnsibleFilterError(
            f"base_reboot_window.days: {strange[0]} is none of {', '.join(_DAYS)}"
        )
    begin, end = (_minute(window.get(word), word) for word in ("from", "to"))
    return sorted({_DAYS.index(day) for day in named}), begin, (end - begin) % _DAY_MIN or _DAY_MIN


def _minute(text: Any, word: str) -> int:
    hours, _, minutes = str(text).partition(":")
    if hours.isdigit() and minutes.isdigit() and int(hours) < 24 and int(minutes) < 60:
        return int(hours) * 60 + int(minutes)
    raise AnsibleFilterError(
        f'base_reboot_window.{word}: {text!r} is no time; write it as "03:00", with quotes, or '
        f"YAML reads a number"
    )


def mount_unit(path: str) -> str:
    r"""Name the systemd unit that mounts a folder, as `systemd-escape --path` does.

    >>> mount_unit("/var/lib/private/protoledger-chain")
    'var-lib-private-protoledger\\x2dchain.mount'
    """
    escaped = "".join(
        char if char.isascii() and (char.isalnum() or char in ":_.") else
        "-" if char == "/" else "".join(f"\\x{byte:02x}" for byte in char.encode())
        for char in path.strip("/")
    )  # fmt: skip
    return f"{escaped}.mount"


class FilterModule:
    """The filters, as Ansible looks for them."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Give each by its name."""
        return {
            "fleet_neighbours": neighbours,
            "mount_unit": mount_unit,
            "reboot_times": reboot_times,
        }
