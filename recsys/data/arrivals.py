"""Ingestion by arrival: only the days for which the event log holds something new, and up to where it was read.

What was read up to is noted below the storage root once the days are published: a run that is killed or refused
before is repeated whole, one that is repeated changes nothing. `left` names days with new rows that a run left out
as they end after the day it was to stop at.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from recsys.config import Config
from recsys.data.ingest import PrivacyDoor, ingest_days, ingest_range, publish_register
from recsys.data.privacy import load_key
from recsys.data.register import check_key, consent_end
from recsys.data.snapshots import list_snapshots
from recsys.data.sources.log import LogReader
from recsys.errors import StorageError
from recsys.storage import exists, join, locked, read_json, write_json

_FILE: Final = "scans/arrivals.json"
KEY: Final = "arrivals"  # of a staged partition's description


@dataclass(frozen=True)
class Watermark:
    """The newest arrival number that is ingested, and the days that were left for later."""

    arrival: int = 0
    left: frozenset[date] = frozenset()


def ingest_arrivals(
    config: Config, source: LogReader, end: datetime | None = None
) -> list[dict[str, Any]]:  # Any: JSON
    """Stage the days, up to `end`, for which rows arrived since the last ones were published; see `ingest_range`.

    Who may pass is published each time, as of now: a withdrawal counts although no day has new events. Each partition
    says under `arrivals` up to which number the log was read, for `note_published`.
    """
    check_key(config, load_key(config))
    mark = read_watermark(config.storage, source.until)
    touched = source.touched(mark.arrival) | mark.left
    begin, finish = source.interval()
    if config.partition == "all":
        staged = ingest_range(config, source, begin, finish) if touched else []
        return _marked(staged, source.until, set())
    door = PrivacyDoor(config, source, finish)
    # Where the last day's events were erased the newest consent ends later, and would outlast this one.
    publish_register(config, door, max(finish, consent_end(config.storage) or finish))
    limit = finish if end is None else end.astimezone(UTC)
    left = {day for day in touched if _midnight(day) + timedelta(days=1) > limit and end is not None}
    stored = list_snapshots(config)
    inside = {day for day in touched - left if begin <= _midnight(day) < finish or day.isoformat() in stored}
    staged = ingest_days(config, source, [_midnight(day) for day in sorted(inside)], door)
    if not staged:  # nothing waits to be published
        note_published(config, [{KEY: _note(source.until, left)}])
    return _marked(staged, source.until, left)


def read_watermark(storage: str, newest: int) -> Watermark:
    """Return up to where the log is ingested; the beginning where its newest number is older, as after a restore."""
    address = join(storage, _FILE)
    if not exists(address):
        return Watermark()
    try:
        found = read_json(address)
        mark = Watermark(int(found["arrival"]), frozenset(map(date.fromisoformat, found["left"])))
    except (KeyError, TypeError, ValueError):
        raise StorageError(f"{address} is damaged; remove it to ingest the whole event log again") from None
    return mark if mark.arrival <= newest else Watermark()


def note_published(config: Config, partitions: Iterable[Mapping[str, Any]]) -> None:  # Any: JSON
    """Note up to where the log is ingested, once all partitions of a run are published; never an older number."""
    notes = [note for partition in partitions if (note := partition.get(KEY))]
    if not notes:
        return
    newest = max(notes, key=lambda note: int(note["arrival"]))
    with locked(config.storage, "arrivals"):
        if read_watermark(config.storage, _ANY).arrival <= newest["arrival"]:
            write_json(join(config.storage, _FILE), {"arrival": newest["arrival"], "left": list(newest["left"])})


_ANY: Final = 2**63


def _marked(staged: list[dict[str, Any]], until: int, left: set[date]) -> list[dict[str, Any]]:  # Any: JSON
    return [{**partition, KEY: _note(until, left)} for partition in staged]


def _note(until: int, left: set[date]) -> dict[str, Any]:  # Any: JSON
    return {"arrival": until, "left": [day.isoformat() for day in sorted(left)]}


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
