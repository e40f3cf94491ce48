"""Types of single values in requests: what an id, a label, a text and a time may be."""

import re
from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, StringConstraints, WithJsonSchema

MAX_ID: Final = 256
NO_CONTROL: Final = r"^[^\u0000-\u001f\u007f-\u009f]+$"  # the syntax that Rust, Python and ECMAScript share
_FIRST: Final = datetime(1900, 1, 1, tzinfo=UTC)
_END: Final = datetime(2200, 1, 1, tzinfo=UTC)
_ISO: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _time(value: object) -> datetime:
    """Read a time; pydantic alone would take a number in a text as seconds since 1970."""
    if isinstance(value, str):
        value = _parsed(value)
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError("must be a date and a time with a zone, such as 2026-01-31T20:00:00Z")
    if not _FIRST <= value < _END:
        raise ValueError("must lie between the years 1900 and 2200")
    return value.astimezone(UTC)


def _parsed(text: str) -> datetime | None:
    if _ISO.fullmatch(text) is None:
        return None
    try:
        return datetime.fromisoformat(text.upper())
    except ValueError:  # such as the 30th of February
        return None


Id = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_ID, pattern=NO_CONTROL), Field(description="any id of yours")
]
Label = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID, pattern=NO_CONTROL)]
Column = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=NO_CONTROL)]
Title = Annotated[str, StringConstraints(max_length=1_000)]
Text = Annotated[str, StringConstraints(max_length=20_000)]
Time = Annotated[
    datetime,
    PlainValidator(_time),
    PlainSerializer(datetime.isoformat, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time", "description": "ISO 8601 with a zone"}),
]
Labels = Annotated[tuple[Label, ...], Field(max_length=100)]
Demographics = Annotated[dict[Column, Label], Field(max_length=32, description="labels by column of the users table")]


class Strict(BaseModel):
    """Part of a request: unknown fields, values of another JSON type and infinite numbers are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
