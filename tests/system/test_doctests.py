"""The examples in docstrings do what they say."""

import doctest
import importlib
import pkgutil

import pytest

import protoledger


def modules():
    """Name all modules whose source has an example."""
    for found in pkgutil.walk_packages(protoledger.__path__, "protoledger."):
        spec = found.module_finder.find_spec(found.name)
        source = spec.loader.get_source(found.name) if spec and spec.loader else None
        if source and ">>> " in source:
            yield found.name


@pytest.mark.parametrize("name", list(modules()))
def test_examples(name):
    results = doctest.testmod(importlib.import_module(name))
    assert results.attempted
    assert not results.failed
