"""A DHT on a wire, at the level of `board`, `pulseio` and `digitalio`, with its known faults.

The modules go into `sys.modules`, so that the true adafruit_dht, and not a copy of what we believe
of it, decodes the pulses. Time is made up: it moves when the library sleeps or looks at the pin.
"""

import enum
import importlib
import sys
import types

LOOK_S = 4e-6  # a look at the pin


class Clock:
    """Stands for the module `time`."""

    def __init__(self):
        self.now = 1000.0
        self.slept = []

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


class Chip:
    """What the chip answers: a list of answers, the last one for ever.

    An answer is (temperature, humidity) and may have a fault: "checksum", "short" (a full buffer is
    not returned), "dead" (no pulses), "implausible", or "jump" (bits that flip in pairs: the
    checksum is right).
    """

    def __init__(self, clock, dht11=False):
        self.clock = clock
        self.dht11 = dht11
        self.answers = [(21.5, 48.2, "")]
        self.asked_at = []
        self.open = 0
        self.objects = 0
        self.edges = []

    def bytes(self, temperature, humidity, fault):
        if self.dht11:
            whole, tenths = divmod(round(temperature * 10), 10)
            content = [int(humidity), 0, whole, tenths]
        else:
            t = round(abs(temperature) * 10) | (0x8000 if temperature < 0 else 0)
            content = [*divmod(round(humidity * 10), 256), *divmod(t, 256)]
        check = sum(content) & 0xFF
        if fault == "jump":  # 102.4 up in one byte, and the same bit in the other half of the sum
            content[0 if self.dht11 else 2] ^= 0x04
            check = sum(content) & 0xFF
        if fault == "checksum":
            check ^= 0x10
        return [*content, check]

    def answer(self):
        """Start to answer: fix when the line will toggle."""
        self.asked_at.append(self.clock.now)
        temperature, humidity, fault = self.answers.pop(0) if self.answers[1:] else self.answers[0]
        pulses = [30, 80, 80]  # released, then the chip's low and high
        for byte in self.bytes(temperature, humidity, fault):
            for bit in range(7, -1, -1):
                pulses += [50, 70 if byte >> bit & 1 else 26]
        pulses.append(50)
        if fault == "short":
            pulses = pulses[: len(pulses) // 2]
        if fault == "dead":
            pulses = []
        self.edges, at = [], self.clock.now
        for pulse in pulses:
            at += pulse * 1e-6
            self.edges.append(at)

    def level(self):
        if self.edges and self.clock.now > self.edges[-1] + 1e-3:
            self.clock.now += 0.05  # nothing will come: do not look a hundred thousand times
        elif not self.edges:
            self.clock.now += 0.05
        self.clock.now += LOOK_S
        return sum(edge <= self.clock.now for edge in self.edges) % 2 == 0


class Direction(enum.Enum):
    INPUT = 0
    OUTPUT = 1


class Pull(enum.Enum):
    UP = 0


class DigitalInOut:
    """A pin as an output, then as an input that shows what the chip answers."""

    def __init__(self, pin):
        self.chip = pin
        self._direction = None

    def __enter__(self):
        assert not self.chip.open, "two objects on one line"
        self.chip.open += 1
        return self

    def __exit__(self, *_):
        self.chip.open -= 1

    @property
    def direction(self):
        return self._direction

    @direction.setter
    def direction(self, direction):
        self._direction = direction
        if direction is Direction.INPUT:
            self.chip.answer()

    @property
    def value(self):
        return self.chip.level()

    @value.setter
    def value(self, _level):
        assert self._direction is Direction.OUTPUT


class PulseIn:
    """What must not be used: it starts a helper process for the pin."""

    def __init__(self, *_, **__):
        raise AssertionError("a helper process for the pin")


def install(monkeypatch, *, dht11=False, pins=(4, 17)):
    """Put the stubs in place and load the library on them.

    Returns:
        The clock, and a chip for each pin.
    """
    clock = Clock()
    chips = {pin: Chip(clock, dht11=dht11) for pin in pins}

    modules = {
        "board": types.SimpleNamespace(**{f"D{pin}": chip for pin, chip in chips.items()}),
        "digitalio": types.SimpleNamespace(
            DigitalInOut=DigitalInOut, Direction=Direction, Pull=Pull
        ),
        "pulseio": types.SimpleNamespace(PulseIn=PulseIn),
        "microcontroller": types.SimpleNamespace(Pin=object),
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "adafruit_dht", raising=False)
    library = importlib.import_module("adafruit_dht")
    monkeypatch.setitem(sys.modules, "adafruit_dht", library)
    monkeypatch.setattr(library, "time", clock)
    return clock, chips
