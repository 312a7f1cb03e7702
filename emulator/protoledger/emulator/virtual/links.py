"""Links that delay, lose, repeat and are cut, by a file and a seed.

Every device has one link, to the broker. A message goes over its sender's link and its receiver's;
what each of them does to it is drawn from the seed, so that the same file gives the same run.
"""

import random
from collections.abc import Sequence
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from protoledger.emulator.virtual.clock import Action, Clock
from protoledger.protocol.errors import ConfigurationError
from protoledger.runtime.site import Model

Share = Annotated[float, Field(ge=0, le=1)]


class Cut(Model):
    """A time in which some devices reach nobody.

    Attributes:
        from_s: when it begins, in seconds since the start.
        to_s: when it ends.
        share: what share of all devices, drawn by the seed.
        devices: ids of devices, beside or instead of these.
    """

    from_s: float = Field(ge=0)
    to_s: float = Field(gt=0)
    share: Share = 0.0
    devices: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.to_s <= self.from_s:
            raise ValueError(f"to_s {self.to_s:g} is not after from_s {self.from_s:g}")
        if not self.share and not self.devices:
            raise ValueError("names neither a share of the devices nor any of them")
        return self


class NetworkFile(Model):
    """What a network file says.

    Attributes:
        delay_ms: of a message on one link.
        jitter_ms: more than that, by chance, up to so much.
        loss: how likely a link loses a message.
        duplicate: how likely the broker hands it on twice.
        cuts: when who is cut off.
    """

    delay_ms: float = Field(default=10.0, ge=0, le=60_000)
    jitter_ms: float = Field(default=5.0, ge=0, le=60_000)
    loss: Share = 0.0
    duplicate: Share = 0.0
    cuts: tuple[Cut, ...] = ()


def drawn_cuts(
    settings: NetworkFile, devices: Sequence[str], weather: random.Random
) -> list[tuple[Cut, frozenset[str]]]:
    """Return each cut with the devices that it concerns.

    Raises:
        ConfigurationError: the file names a device that does not exist.
    """
    known, found = set(devices), []
    for cut in settings.cuts:
        if strange := [name for name in cut.devices if name not in known]:
            raise ConfigurationError(f"cuts: there is no device {strange[0]}")
        drawn = weather.sample(list(devices), round(cut.share * len(devices)))
        found.append((cut, frozenset(drawn) | set(cut.devices)))
    return found


class Links:
    """All links of a run.

    Args:
        clock: of the run.
        settings: the network file.
        devices: ids of all devices.
        seed: of what happens by chance.

    Attributes:
        lost: messages that did not arrive.
        repeated: messages that arrived twice.
        carried: bytes that arrived.

    Raises:
        ConfigurationError: the file names a device that does not exist.
    """

    def __init__(self, clock: Clock, settings: NetworkFile, devices: list[str], seed: int) -> None:
        self._clock, self._settings = clock, settings
        self._random = random.Random(f"network {seed}")  # noqa: S311 - an emulation's weather
        self.lost = self.repeated = self.carried = 0
        self.cuts: Final = drawn_cuts(settings, devices, self._random)

    def reaches(self, device: str) -> bool:
        """Whether a device's link carries anything now."""
        now = self._clock.now
        return not any(cut.from_s <= now < cut.to_s and device in those for cut, those in self.cuts)

    def send(self, sender: str, receiver: str, size: int, arrive: Action) -> None:
        """Hand a message over both links: it arrives later, never, or twice.

        Args:
            sender: who sends it.
            receiver: who gets it.
            size: its bytes.
            arrive: what it does there.
        """
        chance, settings = self._random.random, self._settings
        kept = (1 - settings.loss) ** 2
        if not self.reaches(sender) or chance() >= kept:
            self.lost += 1
            return
        copies = 1
        if chance() < settings.duplicate:
            copies, self.repeated = 2, self.repeated + 1
        for _ in range(copies):
            wait_ms = 2 * settings.delay_ms + settings.jitter_ms * (chance() + chance())
            self._clock.after(wait_ms / 1000, lambda: self._arrive(receiver, size, arrive))

    def _arrive(self, receiver: str, size: int, arrive: Action) -> None:
        if not self.reaches(receiver):
            self.lost += 1
            return
        self.carried += size
        arrive()
