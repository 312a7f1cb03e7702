"""Reads a YAML file into a pydantic model and reports every error in it, each with a remedy.

pydantic validates in layers: if a file has an unknown key, the validators that compare keys with
each other do not run. So `fit` reports the errors that it finds, removes the offending parts from
the content, and validates again, until no new error appears.
"""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

_Config = TypeVar("_Config", bound=BaseModel)
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's, where it was built in
_LONGEST = 60
_Key = int | str


def read(
    path: Path, shape: type[_Config], *, without: Sequence[str] = ()
) -> tuple[_Config | None, list[str]]:
    """Read a file; paths in it are relative to the file's folder.

    Args:
        path: the file.
        shape: its model.
        without: keys to leave out, as if the file did not have them.

    Returns:
        The model without the offending parts, or None if too little is left; and one line for each
        error.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506
    except OSError as error:
        return None, [f"the file cannot be read: {error.strerror}"]
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        return None, [f"the file is not valid YAML: {error}"]
    if not isinstance(content, dict):
        return None, [f"expected keys and values, found {type(content).__name__}"]
    kept = {key: value for key, value in content.items() if key not in without}
    return fit(anchored(kept, path.parent), shape)


def fit(content: dict[str, Any], shape: type[_Config]) -> tuple[_Config | None, list[str]]:
    """Validate keys and values against a model; removes from `content` what does not fit.

    >>> class Tea(BaseModel, extra="forbid"):
    ...     minutes: int = 3
    >>> fit({"minutes": "four", "minute": 5}, Tea)[1][1]
    "minute = 5: unknown key; did you mean 'minutes'?"
    """
    problems: list[str] = []
    cut: set[tuple[_Key, ...]] = set()
    while True:
        try:
            return shape.model_validate(content), problems
        except ValidationError as error:
            found = error.errors(include_url=False)
        # a part that was removed in an earlier pass is not missing in the file
        new = [e for e in found if e["type"] != "missing" or e["loc"] not in cut]
        problems += [line for e in new if (line := _explain(e, content, shape)) not in problems]
        places = {_place(content, e["loc"], missing=e["type"] == "missing") for e in found}
        if () in places:
            return None, problems
        for place in sorted(places, key=_from_the_end):
            cut.add(place)
            _cut(content, place)


def _from_the_end(place: tuple[_Key, ...]) -> tuple[Any, ...]:
    """Sort key for removal: deep places first, and high list positions before low ones.

    In this order no removal shifts the position of a later one.
    """
    return (-len(place), tuple(-key if isinstance(key, int) else 0 for key in place))


def _place(content: object, loc: tuple[_Key, ...], *, missing: bool) -> tuple[_Key, ...]:
    """Return what to remove for an error: the value itself, or what lacks a required key."""
    kept: list[_Key] = []
    for key in loc:
        known = isinstance(content, dict) and key in content
        if not known and not (isinstance(content, list) and isinstance(key, int)):
            break  # the rest of the location names a union's branch, or the missing key
        kept.append(key)
        content = content[key]  # type: ignore[index]
    return tuple(kept if not missing or kept != list(loc) else kept[:-1])


def _cut(content: Any, place: tuple[_Key, ...]) -> None:
    for key in place[:-1]:
        content = content[key]
    if isinstance(content, list):
        content.pop(int(place[-1]))
    else:
        content.pop(place[-1], None)


def _explain(error: ErrorDetails, content: object, shape: type[BaseModel]) -> str:
    """Format an error as `key = value: what is wrong; what to do`."""
    loc = error["loc"]
    place = _place(content, loc, missing=False)
    where = ".".join(str(level) for level in (loc if error["type"] == "missing" else place))
    value = error["input"]
    seen = "" if isinstance(value, dict | BaseModel) else f" = {_short(value)}"
    model, description = _field(shape, loc)
    names = [] if model is None else list(model.model_fields)
    match error["type"]:
        case "extra_forbidden":
            close = difflib.get_close_matches(str(loc[-1]), names, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(names)}"
            return f"{where} = {_short(value)}: unknown key; {hint}"
        case "missing":
            return f"{where}: is missing" + (f"; {description}" if description else "")
        case "string_pattern_mismatch" if "a-z0-9._-" in error["msg"]:
            text = "use lower-case letters, digits and . _ - between them"
        case _:
            text = error["msg"].removeprefix("Value error, ")
    more = f"; {description}" if description else ""
    return f"{where}{seen}: {text}{more}" if where else text


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _field(
    shape: type[BaseModel], loc: tuple[_Key, ...]
) -> tuple[type[BaseModel] | None, str | None]:
    """Find the model that a location lies in, and the description of its field."""
    model: type[BaseModel] | None = shape
    description = None
    for number, key in enumerate(loc):
        if isinstance(key, int):
            continue
        if model is None or key not in model.model_fields:
            return model, None
        found = model.model_fields[key]
        description = found.description
        if number < len(loc) - 1:
            model = _model_in(found.annotation)
    return model, description


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_model_in(argument) for argument in get_args(annotation))
    return next((model for model in inner if model is not None), None)


def anchored(value: Any, base: Path) -> Any:
    """Resolve every `…_file` and `path` against the folder of the configuration."""
    if isinstance(value, list):
        return [anchored(item, base) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: str(base / item)
        if isinstance(item, str) and (str(key).endswith("_file") or key == "path")
        else anchored(item, base)
        for key, item in value.items()
    }
