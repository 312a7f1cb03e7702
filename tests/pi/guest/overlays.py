"""What lines of a Pi's config.txt do there, done here: they bring devices of the kernel.

The device tree has all of them; one is there while the module that drives it is loaded.
"""

import subprocess

_MODULES = {
    "dtparam=spi=on": ("spi_gpio",),
    "dtparam=i2c_arm=on": ("i2c_gpio",),
    # the bus without its pin: the kernel's driver for it hangs on a simulated one
    "dtoverlay=w1-gpio,gpiopin=4": ("w1_therm",),
    "dtoverlay=dht11,gpiopin=22": ("dht11",),
}
_LEAVING = ("dht11",)  # it holds a pin that another kit uses


class Overlays:
    """Loads what lines of config.txt ask for; at the end the pins are free again.

    Args:
        lines: as drivers declare them; any that is not known here raises KeyError.
    """

    def __init__(self, lines):
        self._modules = [module for line in lines for module in _MODULES[line]]

    def __enter__(self):
        for module in self._modules:
            load(module)
        subprocess.run(["udevadm", "settle"], check=True)
        return self

    def __exit__(self, *_error):
        for module in _LEAVING:
            if module in self._modules:
                subprocess.run(["rmmod", module], check=True)


def load(module):
    """Load a module, unless it is there."""
    subprocess.run(["modprobe", module], check=True)
