"""From a broker such as Kafka into the log: offsets are committed only once the rows are on disk.

A broker delivers a message at least once, perhaps again and in another order; event ids make it count once. A message
that cannot be read goes to a quarantine below the storage root and holds up nothing.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from recsys.errors import DataError
from recsys.eventlog.protocol import EventLog
from recsys.eventlog.rows import Appended, Event, Item, User
from recsys.storage import append_line, join, list_names, locked, read_text, write_text

QUARANTINE: Final = "quarantine-eventlog"
_STREAMS: Final[dict[str, type[Event] | type[User] | type[Item]]] = {"events": Event, "users": User, "items": Item}
_TIMES: Final = ("timestamp", "signed_up_at", "published_at", "expires_at")


@dataclass(frozen=True, slots=True)
class Message:
    """One message: its place in the broker, such as `events/3/1042`, and its bytes: a JSON object.

    The object holds the fields of an `Event`, with times in ISO 8601; `"stream": "users"` or `"items"` says that it
    holds those of a `User` or an `Item`.
    """

    offset: str
    value: bytes


class Consumer(Protocol):
    """What the log needs of a broker's client, in its own group."""

    def poll(self) -> Sequence[Message]:
        """Return the next messages, at most a few thousand; none when there is nothing new for now."""
        ...

    def commit(self, offset: str) -> None:
        """Tell the broker that this message and all polled before it need not come again."""
        ...


@dataclass(frozen=True, slots=True)
class Drained:
    """How many messages became new rows, repeated ones and quarantined ones."""

    new: int
    repeated: int
    quarantined: int


def drain(consumer: Consumer, log: EventLog, storage: str, at: Callable[[], datetime]) -> Drained:
    """Append all messages that wait; returns when the broker has no more for now.

    `at` tells the time of arrival of each poll's rows. Raises StorageError when the log or the quarantine cannot be
    written: what was polled last is not committed and comes again.
    """
    totals: Counter[str] = Counter()
    while messages := consumer.poll():
        totals.update(_append(messages, log, storage, at()))
        consumer.commit(messages[-1].offset)
    return Drained(totals["new"], totals["repeated"], totals["quarantined"])


def erase_quarantined(storage: str, text: str) -> int:
    """Remove quarantined messages that hold a text, such as a pseudonym or an id; returns how many went."""
    n_removed = 0
    with locked(storage, QUARANTINE):
        for name in list_names(join(storage, QUARANTINE)):
            address = join(storage, QUARANTINE, name)
            lines = read_text(address).splitlines(keepends=True)
            kept = [line for line in lines if text not in str(json.loads(line)["message"])]
            if len(kept) < len(lines):
                write_text(address, "".join(kept))
                n_removed += len(lines) - len(kept)
    return n_removed


def _append(messages: Sequence[Message], log: EventLog, storage: str, at: datetime) -> Counter[str]:
    """Append one poll's messages in their order, those of one stream together."""
    counts: Counter[str] = Counter()
    read: dict[str, list[tuple[Message, Any]]] = {name: [] for name in _STREAMS}  # Any: a row of the stream
    for message in messages:
        try:
            stream, row = _row(message.value)
            read[stream].append((message, row))
        except _PoisonError as error:
            counts["quarantined"] += 1
            _set_aside(storage, message, str(error), at)
    for stream, rows in read.items():
        counts.update(_append_stream(stream, rows, log, storage, at))
    return counts


def _append_stream(
    stream: str, rows: list[tuple[Message, Any]], log: EventLog, storage: str, at: datetime
) -> Counter[str]:
    try:
        appended = _put(log, stream, [row for _, row in rows], at)
        return Counter(new=appended.new, repeated=appended.repeated)
    except DataError as error:
        if len(rows) == 1:
            _set_aside(storage, rows[0][0], str(error), at)
            return Counter(quarantined=1)
    # One of them is wrong: each half is tried alone, so that a wrong message costs a few calls and no other message.
    middle = len(rows) // 2
    first = _append_stream(stream, rows[:middle], log, storage, at)
    return first + _append_stream(stream, rows[middle:], log, storage, at)


def _put(log: EventLog, stream: str, rows: list[Any], at: datetime) -> Appended:  # Any: rows of the stream
    if stream == "events":
        return log.append_events(rows, at)
    return log.put_users(rows, at) if stream == "users" else log.put_items(rows, at)


class _PoisonError(ValueError):
    """Why a message is no row."""


def _row(value: bytes) -> tuple[str, Event | User | Item]:
    try:
        content = json.loads(value)
    except (ValueError, RecursionError):
        raise _PoisonError("it is no JSON") from None
    if not isinstance(content, dict):
        raise _PoisonError("it is no JSON object")
    stream = content.pop("stream", "events")
    if not isinstance(stream, str) or stream not in _STREAMS:
        raise _PoisonError(f"its stream must be one of {', '.join(_STREAMS)}")
    kind = _STREAMS[stream]
    if unknown := len(content.keys() - {field.name for field in fields(kind)}):
        raise _PoisonError(f"{unknown} of its fields are none of {kind.__name__}")
    for name in _TIMES:
        if content.get(name) is not None:
            content[name] = _moment(name, content[name])
    try:
        return stream, kind(**content)
    except TypeError:
        raise _PoisonError(f"it lacks fields that {kind.__name__} must have") from None


def _moment(name: str, value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(str(value))
        return moment.astimezone(UTC) if moment.tzinfo else moment  # the log refuses a time without a zone
    except (ValueError, OverflowError):
        raise _PoisonError(f"{name} must be a time in ISO 8601") from None


def _set_aside(storage: str, message: Message, reason: str, at: datetime) -> None:
    """Append a message to the day's quarantine, on disk before its offset is committed; it may come there twice."""
    line = {
        "offset": message.offset,
        "reason": reason,
        "at": at.isoformat(),
        "message": message.value.decode("utf-8", "backslashreplace"),
    }
    with locked(storage, QUARANTINE):
        append_line(join(storage, QUARANTINE, f"{at.date().isoformat()}.jsonl"), line)
