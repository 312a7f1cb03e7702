"""The examples in docstrings do what they say."""

import doctest
import importlib
import pkgutil

import pytest

PACKAGES = ("contracts", "edge", "emulator", "experiments", "gateway", "protocol", "sensors")


def modules():
    """Name all modules whose source has an example."""
    for package in PACKAGES:
        path = importlib.import_module(package).__path__
        for found in pkgutil.walk_packages(path, f"{package}."):
            spec = found.module_finder.find_spec(found.name)
            source = spec.loader.get_source(found.name) if spec and spec.loader else None
            if source and ">>> " in source:
                yield found.name


@pytest.mark.parametrize("name", list(modules()))
def test_examples(name):
    results = doctest.testmod(importlib.import_module(name))
    assert results.attempted
    assert not results.failed
