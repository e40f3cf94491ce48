"""What is said of a setting that is not valid: where it stands, what was wrong, and what was likely meant."""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_ALIKE = 0.6  # difflib's usual ratio from which two names are thought to be one misspelt


def told(error: ValidationError, root: type[BaseModel]) -> str:
    """Return every problem of a configuration in one line; of `root`, the model it was read into, names are learned."""
    return "; ".join(_told(problem, root) for problem in error.errors(include_url=False))


def _told(problem: "ErrorDetails", root: type[BaseModel]) -> str:
    models, path = _walk(problem["loc"], root)
    where, got, message = ".".join(path) or "config", problem["input"], problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        return f"{where}: there is no such setting{_meant(path[-1], isinstance(got, dict), models, root)}"
    if problem["type"] == "union_tag_not_found":
        return f"{where}.kind is missing; set it to one of {', '.join(str(_tag(model)) for model in models)}"
    # Text may be an address with a password in it; a choice that does not exist is none.
    is_choice = isinstance(got, str) and problem["type"] == "literal_error"
    shown = f"; got {got!r}" if is_choice or isinstance(got, int | float) else ""
    choices = re.findall("'([^']*)'", str(problem.get("ctx", {}).get("expected", ""))) if is_choice else []
    close = get_close_matches(str(got), choices, 1, _ALIKE)
    return f"{where}: {message}{shown}" + (f"; did you mean {close[0]!r}?" if close else "")


def _walk(location: tuple[int | str, ...], root: type[BaseModel]) -> tuple[list[type[BaseModel]], list[str]]:
    """Return the models that may stand where the problem is, and its place as the file names it.

    The tag of a choice between models is part of pydantic's location and not of the file's.
    """
    models, path = [root], []
    for part in location:
        fields = [model.model_fields[str(part)] for model in models if str(part) in model.model_fields]
        tagged = [model for model in models if not fields and _tag(model) == part]
        if tagged or part == "[key]":
            models = tagged or models
            continue
        path.append(str(part))
        inner = [model for field in fields for model in _models(field.annotation)]
        if inner:
            models = inner
    return models, path


def _models(annotation: Any) -> Iterator[type[BaseModel]]:  # Any: a type as pydantic keeps it
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for each in get_args(annotation):
        yield from _models(each)


def _tag(model: type[BaseModel]) -> object:
    kind = model.model_fields.get("kind")
    return kind.default if kind else None


def _meant(name: str, is_table: bool, models: list[type[BaseModel]], root: type[BaseModel]) -> str:
    fields = {field: info.annotation for model in models for field, info in model.model_fields.items()}
    known = list(fields)
    alike = [field for field, annotation in fields.items() if _takes_a_table(annotation) == is_table]
    if elsewhere := [place for place in _places(root) if place.rsplit(".", 1)[-1] == name]:
        return f"; did you mean {' or '.join(elsewhere[:3])}?"
    if close := get_close_matches(name, alike, 1, _ALIKE) or get_close_matches(name, known, 1, _ALIKE):
        return f"; did you mean {close[0]}?"
    return f"; there are {', '.join(sorted(known))}"


def _takes_a_table(annotation: Any) -> bool:  # Any: a type as pydantic keeps it
    return get_origin(annotation) is dict or any(True for _ in _models(annotation))


def _places(model: type[BaseModel], above: str = "") -> Iterator[str]:
    """Yield every setting's place, the nearest to the root first."""
    inner = []
    for name, field in model.model_fields.items():
        yield above + name
        inner += [(found, f"{above}{name}.") for found in _models(field.annotation)]
    seen: dict[str, None] = {}
    for found, place in inner:
        seen.update(dict.fromkeys(_places(found, place)))
    yield from seen
