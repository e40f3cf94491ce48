"""Problem details (RFC 9457): every error of the service as one kind of answer, without ids and exception texts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

import orjson
from pydantic import BaseModel, ValidationError

from recsys.errors import DataError, NotFoundError, RefusedError, StorageError

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 1
_MOST_ERRORS: Final = 20  # of one body; a client mends the first ones first


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong value; `pointer` is its place in the body (RFC 6901), `parameter` its name in path, query or header."""

    detail: str
    pointer: str | None = None
    parameter: str | None = None


@dataclass(frozen=True, slots=True)
class ProblemDetails:
    """What an answer of another status than 2xx says."""

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[FieldError, ...] = ()


@dataclass(eq=False)
class Problem(Exception):  # noqa: N818 -- the word of RFC 9457
    """An error that a client is told of; `headers` go with the answer."""

    status: int
    kind: str
    detail: str
    errors: tuple[FieldError, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def details(self) -> ProblemDetails:
        """Return the body of the answer."""
        title = HTTPStatus(self.status).phrase
        return ProblemDetails(f"urn:recsys:problem:{self.kind}", title, self.status, self.detail, self.errors)

    def body(self) -> bytes:
        """Return the details as JSON."""
        return orjson.dumps(self.details())


def problem_of(error: Exception) -> Problem:
    """Return what a client is told of an error; of an error nobody foresaw, nothing but that there was one."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, NotFoundError):
        return Problem(404, "not-found", "Nothing is known under this id.")
    if isinstance(error, RefusedError):
        return Problem(422, "refused", str(error))
    if isinstance(error, DataError):
        return Problem(422, "refused", "The values do not fit what the service knows, or contradict each other.")
    if isinstance(error, StorageError):
        return unavailable("Storage cannot be reached now, so what was asked for may not have been done. Try again.")
    return Problem(500, "internal", "The service failed. The request id leads to its log.")


def unavailable(detail: str, retry_after_s: int = RETRY_AFTER_S) -> Problem:
    """Return the problem of a service that cannot answer now."""
    return Problem(503, "unavailable", detail, headers={"retry-after": str(retry_after_s)})


def invalid_body(error: ValidationError, model: type[BaseModel]) -> Problem:
    """Return what is wrong with a body that was read as `model`: places by name of known fields, and no value."""
    found = [
        FieldError(_message(each["type"], each["msg"], each["loc"], model), _pointer(each["loc"], each["type"], model))
        for each in error.errors(include_url=False, include_context=False, include_input=False)[:_MOST_ERRORS]
    ]
    return Problem(422, "validation", f"{error.error_count()} value(s) of the body are not valid.", tuple(found))


def invalid_parameter(name: str, detail: str) -> Problem:
    """Return the problem of a wrong parameter of path or query."""
    return Problem(422, "validation", "A parameter is not valid.", (FieldError(detail, parameter=name),))


def _message(kind: str, message: str, place: Sequence[int | str], model: type[BaseModel]) -> str:
    if kind == "extra_forbidden":
        return f"There is no such field here; there are {', '.join(sorted(_known(place[:-1], model)))}."
    return message.removeprefix("Value error, ")


def _pointer(place: Sequence[int | str], kind: str, model: type[BaseModel]) -> str:
    """Return a JSON pointer in which only names of fields and places of lists are told: other keys may be ids."""
    parts = list(place[:-1] if kind == "extra_forbidden" else place)
    told: list[str] = []
    for depth, part in enumerate(parts):
        if isinstance(part, str) and part not in _known(parts[:depth], model):
            break
        told.append(str(part))
    return "".join(f"/{part}" for part in told)


def _known(place: Sequence[int | str], model: type[BaseModel]) -> set[str]:
    """Return the names of fields of the model that stands at a place below `model`; none where a mapping stands."""
    here: type[BaseModel] | None = model
    for part in place:
        if isinstance(part, int):
            continue
        found = here.model_fields.get(part) if here else None
        here = _model_in(found.annotation) if found else None
    return set(here.model_fields) if here else set()


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for each in getattr(annotation, "__args__", ()):
        if found := _model_in(each):
            return found
    return None
