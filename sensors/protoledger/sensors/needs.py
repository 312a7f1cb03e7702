"""What a driver needs of the system that it runs on, so that an installer can set it up.

A service that runs an agent gets access to these devices and no others; packages, kernel modules
and lines of `config.txt` are installed before it starts.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Needs:
    """What one sensor needs; `|` joins the needs of several, each entry once.

    Attributes:
        devices: classes of device nodes as systemd's `DeviceAllow=` names them: `char-` and the
            name under which the kernel registers them, which /proc/devices shows. It is not always
            the module's: spidev registers `spi`.
        groups: Unix groups that Raspberry Pi OS gives these device nodes.
        packages: Debian packages that no wheel replaces.
        modules: kernel modules that nothing else loads at boot.
        config: lines of /boot/firmware/config.txt, such as `dtoverlay=w1-gpio,gpiopin=4`.

    >>> (PINS | SPI | PINS).devices
    ('char-gpiochip', 'char-spi')
    """

    devices: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    config: tuple[str, ...] = ()

    def __or__(self, other: "Needs") -> "Needs":
        """Join two, in order and without repetition."""
        joined = (
            tuple(dict.fromkeys((*getattr(self, f.name), *getattr(other, f.name))))
            for f in fields(self)
        )
        return Needs(*joined)


NOTHING = Needs()
PINS = Needs(devices=("char-gpiochip",), groups=("gpio",), packages=("python3-lgpio",))
"""gpiozero's lgpio; Debian's package, because lgpio has no wheel for Python 3.13."""
SPI = PINS | Needs(devices=("char-spi",), groups=("spi",), config=("dtparam=spi=on",))
"""SPI through gpiozero's lgpio, which opens a GPIO chip whatever the device."""
I2C = Needs(
    devices=("char-i2c",), groups=("i2c",), modules=("i2c-dev",), config=("dtparam=i2c_arm=on",)
)
"""I²C from user space."""


def join(needs: Iterable[Needs]) -> Needs:
    """Join the needs of several sensors."""
    joined = NOTHING
    for one in needs:
        joined |= one
    return joined
