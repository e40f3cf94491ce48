"""The privacy door: from a source into staged partitions that hold no raw id and nobody who did not agree.

A partition stands on its own. Beside its events it holds the users and items that arrived in its interval and those
its events name, as known at its end. So a day comes out the same alone, in a bulk load and in any order. The source's
first day also holds everything that came before it. An item without a date is in every partition, for an item without
events must still be recommendable; a user without a date or an event adds nothing. Where a source says when it learned
of a row (`CHANGED_AT`), the row is in that day's partition too, and one newer than all events in the last day's: a
training set reads the newest partition that has it.
"""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import polars as pl
from pydantic import JsonValue

from recsys.config import Config
from recsys.data.consent import (
    ERASED,
    KEPT,
    PSEUDONYM,
    STATUS,
    STATUSES,
    UNKNOWN_USER,
    build_register,
    count_users,
    hide_ids,
    id_forms,
    mark_erased,
    register_as_of,
    screen_interactions,
)
from recsys.data.erased import read_tombstones
from recsys.data.privacy import PseudonymKey, coarsen_users, load_key
from recsys.data.register import check_key, publish_consent
from recsys.data.sources import Pseudonymous, Source
from recsys.data.tables import CHANGED_AT, TableWriter, collect, to_contract
from recsys.data.unreadable import UnreadableRows
from recsys.errors import ConfigError
from recsys.schema import INTERACTIONS, ITEM_ID, ITEMS, PRIVATE_USERS, PUBLISHED_AT, SIGNED_UP_AT, USER_ID, USERS
from recsys.storage import Publication, join, publish

BEGINNING: Final = datetime(1000, 1, 1, tzinfo=UTC)  # before any sign-up or publication
BEYOND: Final = datetime(9999, 1, 1, tzinfo=UTC)  # after any change
_DAY: Final = timedelta(days=1)
_NO_POLICY: Final = {"key_env", "key_file_env", "erasure_days", "certificate_key_file_env"}
_SAMPLE: Final = 10_000  # events whose user ids show the form such ids have
_MAX_DAYS: Final = 10_000  # 27 years of daily partitions: more comes of a wrong timestamp, not of a history


class PrivacyDoor:
    """What one run knows of consent and catalogue: read once, then asked for each day as of that day's end."""

    def __init__(self, config: Config, source: Source, end: datetime) -> None:
        self.privacy, self.key, self.end = config.privacy, _door_key(config, source), end
        self.horizon = end - timedelta(days=config.privacy.retention_days) if config.privacy.retention_days else None
        users = collect(source.users(BEGINNING, end), USERS, "users")
        self.is_erased = read_tombstones(config, self.key).marks
        self.register = mark_erased(build_register(users, self.privacy, self.key), self.is_erased)
        self.items = collect(source.items(BEGINNING, end), ITEMS, "items")
        self.first, self.last = source.interval()

    def policy(self) -> dict[str, JsonValue]:
        """Return the consent policy and the key's id, for a manifest."""
        chosen = self.privacy.model_dump(mode="json", exclude=_NO_POLICY)
        return {"policy": chosen, "key_id": self.key.key_id}


def ingest_range(config: Config, source: Source, start: datetime, end: datetime) -> list[dict[str, Any]]:  # Any: JSON
    """Stage `[start, end)`, widened to whole UTC days: one partition a day, or one for all.

    Days wholly past retention are left out. Who may pass as of the end is published first: a withdrawal counts for
    what was loaded before, even when a partition of this run is refused later. Raises ConfigError when the interval is
    empty or too long, or the storage was written with another pseudonym key.
    """
    begin, finish = _midnight(start), _midnight(end)
    finish += _DAY if finish < end else timedelta(0)
    if begin >= finish:
        raise ConfigError(f"start must be before end; got {start.isoformat()} and {end.isoformat()}")
    check_key(config, load_key(config))
    door = PrivacyDoor(config, source, finish)
    publish_register(config, door, min(finish, door.last))  # an end far ahead must not outlast the registers to come
    if config.partition == "all":
        return [ingest_partition(config, source, begin, finish, "all", door)]
    return ingest_days(config, source, [begin + n * _DAY for n in range((finish - begin).days)], door)


def publish_register(config: Config, door: PrivacyDoor, known: datetime) -> None:
    """Publish who may pass as of the door's end; it is known up to `known`."""
    publish_consent(config, register_as_of(door.register, door.end), door.privacy, door.key, known)


def ingest_days(
    config: Config, source: Source, days: list[datetime], door: PrivacyDoor
) -> list[dict[str, Any]]:  # Any: JSON
    """Stage one partition for each of some days, named by their midnights; those wholly past retention are left out.

    Raises ConfigError when they are too many.
    """
    kept = [day for day in days if door.horizon is None or day + _DAY > door.horizon]
    if len(kept) > _MAX_DAYS:
        raise ConfigError(
            f"{kept[0].date()} to {kept[-1].date()} are {len(kept)} days, at most {_MAX_DAYS} daily partitions are "
            'made; give start and end if the data has timestamps in the future, or set partition = "all"'
        )
    return [ingest_partition(config, source, day, day + _DAY, day.date().isoformat(), door) for day in kept]


def ingest_partition(
    config: Config, source: Source, start: datetime, end: datetime, partition: str, door: PrivacyDoor | None = None
) -> dict[str, Any]:  # Any: JSON
    """Stage one partition; returns its name, address, interval and the counts of what was kept and withheld.

    Retention counts back from `door.end`, which is `end` for a partition on its own.
    """
    door = door or PrivacyDoor(config, source, end)
    register = register_as_of(door.register, end)
    items = door.items.filter(pl.col(PUBLISHED_AT).is_null() | (pl.col(PUBLISHED_AT) < end))
    everything = partition == "all" or start <= door.first
    unreadable = UnreadableRows()
    with publish(join(config.storage, "staging", partition), door.policy()) as folder:
        counts, named = _write_interactions(folder, source, start, end, register, door, unreadable)
        came = (start, BEYOND if end >= door.last else end)
        chosen = _arrived_or_named(register, came, SIGNED_UP_AT, USER_ID, named[USER_ID], everything)
        users = chosen.filter(pl.col(STATUS) == KEPT)
        with TableWriter(folder.path / "users.parquet", PRIVATE_USERS) as writer:
            writer.write(unreadable.take("users", _private_users(users, door), 0))
        undated = items.filter(pl.col(PUBLISHED_AT).is_null())[ITEM_ID]
        named_items = pl.concat([named[ITEM_ID], undated])
        with TableWriter(folder.path / "items.parquet", ITEMS) as writer:
            chosen = _arrived_or_named(items, came, PUBLISHED_AT, ITEM_ID, named_items, everything)
            writer.write(unreadable.take("items", chosen, 0))
        counts |= {**count_users(register), "users_kept": len(users), "items_kept": writer.n_rows}
        counts |= {f"unreadable_{column}": n for column, n in unreadable.write(folder.path).items()}
        folder.info |= {
            "counts": {**counts},
            "start": start.isoformat(),
            "end": end.isoformat(),
            "has_users": not register.is_empty(),
            "has_items": not items.is_empty(),
            **({} if config.timed else {"time": "unknown"}),
        }
    interval = {"start": start.isoformat(), "end": end.isoformat()}
    return {"partition": partition, "staged": folder.uri, **interval, "counts": counts}


def _write_interactions(
    folder: Publication,
    source: Source,
    start: datetime,
    end: datetime,
    register: pl.DataFrame,
    door: PrivacyDoor,
    unreadable: UnreadableRows,
) -> tuple[dict[str, int], dict[str, pl.Series]]:
    counts: Counter[str] = Counter()
    some: list[pl.Series] = []
    named: dict[str, list[pl.Series]] = {USER_ID: [], ITEM_ID: []}
    with TableWriter(folder.path / "interactions.parquet", INTERACTIONS) as writer:
        for batch in source.interactions(start, end):
            events = to_contract(batch, INTERACTIONS, "interactions")
            kept, statuses = screen_interactions(events, register, door.privacy, door.key, door.horizon, door.is_erased)
            counts.update({"read": len(events), **dict(statuses.iter_rows())})
            some = some or [events[USER_ID].head(_SAMPLE)]
            for name, seen in named.items():
                seen.append(kept[name].unique())
            writer.write(unreadable.take("interactions", hide_ids(kept, door.key), writer.n_rows))
    if counts[UNKNOWN_USER] == counts["read"] > 0 and len(register):
        folder.info["id_forms"] = {**id_forms(some[0], register[USER_ID])}
    together = {
        name: pl.concat(seen).unique() if seen else pl.Series([], dtype=pl.String) for name, seen in named.items()
    }
    told = ("read", *STATUSES, *([ERASED] if counts[ERASED] else []))  # so that other partitions keep their digests
    return {name: counts[name] for name in told}, together


def _arrived_or_named(
    rows: pl.DataFrame,
    interval: tuple[datetime, datetime],
    since: str,
    id_column: str,
    named: pl.Series,
    everything: bool,
) -> pl.DataFrame:
    start, end = interval
    chosen = pl.lit(everything) | (pl.col(since) >= start).fill_null(False) | pl.col(id_column).is_in(named.implode())
    if CHANGED_AT in rows.columns:
        chosen |= ((pl.col(CHANGED_AT) >= start) & (pl.col(CHANGED_AT) < end)).fill_null(False)
    return rows.filter(chosen).drop(CHANGED_AT, strict=False)


def _door_key(config: Config, source: Source) -> PseudonymKey:
    """Return the key, marked as applied where the source's user ids are pseudonyms made with it."""
    key = load_key(config)
    if not isinstance(source, Pseudonymous):
        return key
    if source.key_id != key.key_id:
        raise ConfigError(
            f"the source's user ids are pseudonyms of the key {source.key_id}, the present key is {key.key_id}: every "
            f"user would become two. Set {config.privacy.key_env} to the key of before"
        )
    return replace(key, applied=True)


def _private_users(users: pl.DataFrame, door: PrivacyDoor) -> pl.DataFrame:
    hidden = users.with_columns(pl.col(PSEUDONYM).alias(USER_ID)).drop(PSEUDONYM, STATUS)
    return coarsen_users(hidden, door.privacy)


def _midnight(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ConfigError(f"start and end must have a time zone; got {moment.isoformat()}")
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
