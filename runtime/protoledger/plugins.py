"""Find what is built in or added by others: one function for every kind of plug-in.

A third party adds a plug-in by a Python entry point in the group of its kind, such as
`protoledger.learners`: the entry point's name is what configuration calls it, its value the class.
A built-in one is imported when it is first used, and its name cannot be replaced.

This module needs nothing but the standard library, because everything finds its plug-ins by it.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points


class PluginError(Exception):
    """A plug-in cannot be used."""


class UnknownPluginError(PluginError, LookupError):
    """Nothing that is installed has this name."""


class BrokenPluginError(PluginError, ImportError):
    """It cannot be imported, two packages offer it, or it does not keep its kind's protocol."""


@dataclass(frozen=True, slots=True)
class Group:
    """One kind of plug-in.

    Attributes:
        group: the entry points' group.
        noun: what messages call one of the kind.
        built_in: by name, `module:attribute`.

    >>> group = Group("example.shapes", "shape", {"fraction": "fractions:Fraction"})
    >>> group.find("fraction").__name__
    'Fraction'
    >>> group.names()
    ['fraction']
    """

    group: str
    noun: str
    built_in: Mapping[str, str]

    def names(self) -> list[str]:
        """All names that `find` would find, sorted."""
        return sorted({*self.built_in, *entry_points(group=self.group).names})

    def added(self) -> list[str]:
        """The names that others added, sorted."""
        return [name for name in self.names() if name not in self.built_in]

    def find(self, name: str) -> object:
        """Import what has this name.

        Raises:
            UnknownPluginError: nothing has; the message lists what is installed.
            BrokenPluginError: it cannot be imported, or two packages offer it.
        """
        if name in self.built_in:
            offer = EntryPoint(name, self.built_in[name], self.group)
        else:
            offer = self._offered(name)
        try:
            return offer.load()
        except Exception as error:  # a third party's module may raise anything when it is imported
            raise BrokenPluginError(
                f"{self.noun} {name!r} cannot be loaded: {error}; reinstall it"
            ) from error

    def find_class(self, name: str, base: type) -> type:
        """Import what has this name, which has to be a subclass of `base`.

        Raises:
            UnknownPluginError, BrokenPluginError: see `find`; the latter also if it is none.
        """
        found = self.find(name)
        if not (isinstance(found, type) and issubclass(found, base)):
            raise BrokenPluginError(
                f"{self.noun} {name!r} is {found!r}: it must be a subclass of "
                f"{base.__module__}.{base.__qualname__}"
            )
        return found

    def _offered(self, name: str) -> EntryPoint:
        offers = {offer.value: offer for offer in entry_points(group=self.group, name=name)}
        if not offers:
            raise UnknownPluginError(self._unknown(name))
        if len(offers) > 1:
            raise BrokenPluginError(
                f"{self.noun} {name!r} is offered twice, as {' and '.join(sorted(offers))}; "
                "uninstall one of the packages"
            )
        return next(iter(offers.values()))

    def _unknown(self, name: str) -> str:
        names = self.names()
        asked = name.lower()  # `MotionSensor`, as in gpiozero, means `motion`
        close = [known for known in names if known in asked]
        close = close or difflib.get_close_matches(asked, names)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return f"no {self.noun} is called {name!r}; {hint}there are {', '.join(names)}"


def resolve(target: str) -> object:
    """Import `package.module:attribute`.

    Raises:
        BrokenPluginError: the text has another form, or there is no such thing.
    """
    module, colon, attribute = target.partition(":")
    if not (module and colon and attribute):
        raise BrokenPluginError(f"{target!r} must be package.module:Name")
    try:
        return EntryPoint(attribute, target, "").load()
    except Exception as error:
        raise BrokenPluginError(f"{target} cannot be loaded: {error}") from error
