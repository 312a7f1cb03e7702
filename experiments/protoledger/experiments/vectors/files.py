"""The vector files by name, and how they are written: always the same bytes."""

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType

from protoledger.experiments.vectors.codes import (
    code_vectors,
    field_vectors,
    member_vectors,
    schema_vectors,
)
from protoledger.experiments.vectors.draws import Content
from protoledger.experiments.vectors.messages import message_vectors
from protoledger.experiments.vectors.noisy import noise_vectors
from protoledger.experiments.vectors.refused import bad_vectors

FILES: Mapping[str, Callable[[], Content]] = MappingProxyType(
    {
        "field.json": field_vectors,
        "code.json": code_vectors,
        "schema.json": schema_vectors,
        "members.json": member_vectors,
        "messages.json": message_vectors,
        "noise.json": noise_vectors,
        "bad.json": bad_vectors,
    }
)


def text_of(content: Content) -> str:
    """Return a file's text, a case a line where cases follow each other."""
    packed = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return packed.replace('},{"', '},\n{"') + "\n"
