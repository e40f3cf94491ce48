"""From rows to what a database holds and back; values of another type, too long or not finite are refused here."""

import json
import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from recsys.errors import DataError
from recsys.eventlog.rows import Cell, Event, Item, RowT, RowType, User
from recsys.schema import EVENT_KINDS

MAX_ID: Final = 256  # characters
_MAX_SHORT: Final = 1_024  # characters of a label such as a creator or a place
_MAX_LONG: Final = 65_536  # characters of a title or a description
_MAX_TEXTS: Final = 1_000  # categories of an item
_MAX_INT32: Final = 2**31 - 1  # positions and ages are Int32 in the data contract
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
DAY_US: Final = 86_400_000_000


class _RefusedError(ValueError):
    """What a value must be."""


def microseconds(moment: datetime) -> int:
    """Return a UTC time as microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


def moment_of(us: int) -> datetime:
    """Return the UTC time of microseconds since 1970."""
    return _EPOCH + us * _MICROSECOND


def _text(value: object, longest: int) -> str:
    if type(value) is not str or len(value) > longest:
        raise _RefusedError(f"a text of at most {longest} characters")
    if "\0" in value or not (value.isascii() or _is_unicode(value)):
        raise _RefusedError("a text of Unicode characters other than NUL")
    return value


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # a lone surrogate, which no database takes
        return False
    return True


def _id(value: object) -> Cell:
    if value == "":
        raise _RefusedError(f"a text of 1 to {MAX_ID} characters")
    return _text(value, MAX_ID)


def _label(value: object) -> Cell:
    return _text(value, _MAX_SHORT)


def _long_text(value: object) -> Cell:
    return _text(value, _MAX_LONG)


def _kind(value: object) -> Cell:
    if type(value) is not str or value not in EVENT_KINDS:
        raise _RefusedError(f"one of {', '.join(EVENT_KINDS)}")
    return value


def _number(value: object) -> Cell:
    try:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(number := float(value)):
            return number
    except OverflowError:  # an integer beyond any float
        pass
    raise _RefusedError("a finite number")


def _whole(value: object) -> Cell:
    if type(value) is not int or not -_MAX_INT32 <= value <= _MAX_INT32:
        raise _RefusedError("a whole number of 32 bits")
    return value


def _flag(value: object) -> Cell:
    if type(value) is not bool:
        raise _RefusedError("true or false")
    return int(value)


def utc_time(value: object) -> int:
    """Return a time as microseconds since 1970; raise ValueError for one that is not in UTC."""
    if not isinstance(value, datetime) or value.utcoffset() != timedelta(0):
        raise _RefusedError("a time in UTC with its time zone")
    return microseconds(value)


def _texts(value: object) -> Cell:
    if type(value) not in (tuple, list) or len(value) > _MAX_TEXTS:  # type: ignore[arg-type]
        raise _RefusedError(f"at most {_MAX_TEXTS} texts")
    return json.dumps([_text(each, _MAX_SHORT) for each in value], ensure_ascii=False)  # type: ignore[attr-defined]


_Check = Callable[[object], Cell]
# Column -> how a value becomes a cell, and whether it must be there; in the order of the dataclasses' fields.
_EVENT: Final[dict[str, tuple[_Check, bool]]] = {
    "event_id": (_id, True),
    "user_id": (_id, True),
    "item_id": (_id, True),
    "event": (_kind, True),
    "timestamp": (utc_time, True),
    "value": (_number, False),
    "device": (_label, False),
    "country": (_label, False),
    "session_id": (_id, False),
    "request_id": (_id, False),
    "position": (_whole, False),
    "propensity": (_number, False),
    "bundle_version": (_label, False),
}
_USER: Final[dict[str, tuple[_Check, bool]]] = {
    "user_id": (_id, True),
    "age": (_whole, False),
    "gender": (_label, False),
    "location": (_label, False),
    "occupation": (_label, False),
    "consent_personalization": (_flag, False),
    "consent_analytics": (_flag, False),
    "do_not_sell": (_flag, False),
    "signed_up_at": (utc_time, False),
    "deleted": (_flag, True),
}
_ITEM: Final[dict[str, tuple[_Check, bool]]] = {
    "item_id": (_id, True),
    "title": (_long_text, False),
    "description": (_long_text, False),
    "categories": (_texts, False),
    "creator": (_label, False),
    "language": (_label, False),
    "published_at": (utc_time, False),
    "expires_at": (utc_time, False),
    "duration_s": (_number, False),
    "deleted": (_flag, True),
}
_CHECKS: Final[dict[type, dict[str, tuple[_Check, bool]]]] = {Event: _EVENT, User: _USER, Item: _ITEM}
_NAMES: Final[dict[type, str]] = {Event: "event", User: "user", Item: "item"}
_TYPES: Final[dict[_Check, str]] = {_number: "DOUBLE PRECISION", _whole: "BIGINT", _flag: "BIGINT", utc_time: "BIGINT"}


def columns_of(kind: RowType) -> tuple[str, ...]:
    """Return the columns of a kind of row, in their order."""
    return tuple(_CHECKS[kind])


def declarations(kind: RowType) -> str:
    """Return the SQL that declares the columns of a kind of row."""
    return ", ".join(
        f"{name} {_TYPES.get(check, 'TEXT')}{' NOT NULL' if required else ''}"
        for name, (check, required) in _CHECKS[kind].items()
    )


def encode(kind: type[RowT], batch: Sequence[RowT]) -> list[tuple[Cell, ...]]:
    """Return rows as a database holds them; raise DataError naming the place from 1 and the field, never a value."""
    checks = _CHECKS[kind].items()
    encoded = []
    for place, row in enumerate(batch, start=1):
        if type(row) is not kind:
            raise DataError(f"{_NAMES[kind]} {place} of the batch must be of type {kind.__name__}")
        cells = []
        for name, (check, required) in checks:
            value = getattr(row, name)
            try:
                cells.append(None if value is None and not required else check(value))
            except _RefusedError as error:
                raise DataError(
                    f"{_NAMES[kind]} {place} of {len(batch)} in the batch: {name} must be {error}; got "
                    f"{_described(value)}. Nothing of the batch is stored"
                ) from None
        encoded.append(tuple(cells))
    return encoded


def decode(kind: type[RowT], cells: Sequence[Cell]) -> RowT:
    """Return the row that a database holds."""
    values = {
        name: _decoded(check, cell) for (name, (check, _)), cell in zip(_CHECKS[kind].items(), cells, strict=True)
    }
    return kind(**values)  # type: ignore[arg-type]


def checked_id(value: object, what: str) -> str:
    """Return an id; raise DataError for none."""
    try:
        return str(_id(value))
    except _RefusedError as error:
        raise DataError(f"{what} must be {error}; got {_described(value)}") from None


def _decoded(check: _Check, cell: Cell) -> object:
    if cell is None:
        return None
    if check is utc_time:
        return moment_of(int(cell))
    if check is _flag:
        return bool(cell)
    return tuple(json.loads(str(cell))) if check is _texts else cell


def _described(value: object) -> str:
    if isinstance(value, str):
        return f"a text of {len(value)} characters"
    return "nothing" if value is None else f"a value of type {type(value).__name__}"
