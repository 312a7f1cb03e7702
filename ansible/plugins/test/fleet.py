"""Ansible tests about a device."""

from collections.abc import Callable
from pathlib import Path


def is_retired(device: str, folder: str) -> bool:
    """Tell whether a device was retired, by the controller's folder."""
    return (Path(folder).expanduser() / "retired" / f"{device}.json").exists()


class TestModule:
    """The tests, as Ansible looks for them."""

    __test__ = False  # none of pytest's

    def tests(self) -> dict[str, Callable[..., bool]]:
        """Give each by its name."""
        return {"fleet_retired": is_retired}
