"""Secrets do not print: readings, shares, sums, keys and passwords are in no message's repr.

Every message, state and event of protocol, agent and runtime is formatted with a mark in each
field that could hold a secret. A field of bytes that may print stands in `PUBLIC`.
Configurations name files of secrets.
"""

import dataclasses
import importlib
import inspect
import pkgutil
import re

import msgspec
import numpy as np
import pytest
from pydantic import BaseModel

MARK = b"\xc5 a secret \xc5"
NUMBERS = np.array([271828, 314159])
# digests, signatures and names of sessions, which everybody may read
# what agents declare is public to their site, hellos are retained messages
PUBLIC = {"digest", "session", "roster_digest", "delivered", "declared", "mark", "hellos", "bad"}
SECRET_TYPES = re.compile(r"bytes|Payload|Octets|Symbols|NDArray|ndarray|memoryview|PrivateKey")
SECRET_NAMES = re.compile(r"passw|passphrase|secret|token|(?<!public_)\bkey$|_key$")
PUBLIC_KEYS = {"fleet_key", "public_key"}


def classes(*parts):
    for part in parts:
        package = importlib.import_module(f"protoledger.{part}")
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if any(part in found.name for part in ("kernels", "compilation", ".adapters.")):
                continue  # numba compiles for minutes, an extra may lack; there are no messages
            module = importlib.import_module(found.name)
            for kind in vars(module).values():
                if inspect.isclass(kind) and kind.__module__ == found.name:
                    yield kind


def dataclass_with_marks(kind):
    made = object.__new__(kind)
    for field in dataclasses.fields(kind):
        declared = str(field.type)
        value = None
        if SECRET_TYPES.search(declared) and field.name not in PUBLIC:
            value = NUMBERS if "rray" in declared or "Symbols" in declared else MARK
            value = {1: value} if declared.startswith("dict") else value
        object.__setattr__(made, field.name, value)
    return made


def struct_with_marks(kind):
    fields = msgspec.structs.fields(kind)
    return kind(*(MARK if SECRET_TYPES.search(str(field.type)) else None for field in fields))


def shows_marks(made):
    text = f"{made} {made!r} {made:}"
    return "a secret" in text or "271828" in text


MESSAGES = [
    kind
    for kind in classes("protocol", "edge", "runtime")
    if dataclasses.is_dataclass(kind) or issubclass(kind, msgspec.Struct)
]
CONFIGURATIONS = [
    kind
    for kind in classes("edge", "runtime", "gateway", "contracts")
    if issubclass(kind, BaseModel)
]


def test_there_are_messages_and_configurations():
    assert len(MESSAGES) > 20
    assert len(CONFIGURATIONS) > 10


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_no_secret_is_in_a_repr(kind):
    if issubclass(kind, msgspec.Struct):
        if kind.__struct_config__.array_like:  # messages; the others are files of public content
            assert not shows_marks(struct_with_marks(kind)), "see the base of messages' classes"
        return
    if not kind.__dataclass_params__.repr and kind.__repr__ is object.__repr__:
        return
    assert not shows_marks(dataclass_with_marks(kind)), "field(repr=False), or name it in PUBLIC"


@pytest.mark.parametrize("kind", CONFIGURATIONS, ids=lambda kind: kind.__name__)
def test_a_configuration_names_files_of_secrets_and_holds_none(kind):
    named = {name for name in kind.model_fields if SECRET_NAMES.search(name)} - PUBLIC_KEYS
    assert {name for name in named if not name.endswith("_file")} == set()


def test_a_mark_is_found():
    @dataclasses.dataclass
    class Leaking:
        share: bytes

    class Telling(msgspec.Struct):
        share: bytes

    assert shows_marks(dataclass_with_marks(Leaking))
    assert shows_marks(struct_with_marks(Telling))
