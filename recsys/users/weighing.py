"""From events to meetings, by the code that training sets are built with."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Final, NamedTuple

import polars as pl

from recsys.config import FeaturesConfig
from recsys.errors import DataError
from recsys.features.events import (
    ITEM_ROW,
    KIND,
    POSITIVE,
    STRENGTH,
    USED,
    USER_ROW,
    by_meeting,
    prepared,
    strongest,
    weigh_with_value,
)
from recsys.schema import (
    DEVICE,
    DURATION_S,
    EVENT,
    EVENT_ID,
    EVENT_KINDS,
    INTERACTIONS,
    ITEM_ID,
    TIMESTAMP,
    USER_ID,
    VALUE,
    WEIGHT,
)
from recsys.storage import digest_of
from recsys.users.state import Meeting, UserState, in_order, microseconds, moment

_COLUMNS: Final = {name: INTERACTIONS[name] for name in USED}


class Event(NamedTuple):
    """One event of the data contract; `user_id` is a pseudonym, `event_id` masked as the privacy door masks it."""

    event_id: str | None
    user_id: str
    item_id: str
    event: str
    value: float | None
    timestamp: datetime
    device: str | None = None


class Weighing:
    """Makes meetings of events under the settings of the features.

    `durations` are seconds by item, which `features.watch_ratio_weight` needs to weigh views.
    """

    def __init__(self, config: FeaturesConfig, durations: Mapping[str, float] | None = None) -> None:
        self._config = config
        self._durations = _durations(durations) if durations and config.watch_ratio_weight else None
        self.settings = settings_digest(config)

    def states(self, events: Sequence[Event]) -> Iterator[UserState]:
        """Yield, sorted by user, a state of each user whose events say something about taste.

        Raises DataError for an event without user, item, kind or time, or of a kind that does not exist.
        """
        return self.states_of(frame_of(events))

    def states_of(self, interactions: pl.DataFrame) -> Iterator[UserState]:
        """Yield the states of a table of interactions; raise DataError as `states` does."""
        if not len(interactions):
            return
        _refuse_incomplete(interactions)
        used = prepared(interactions, self._config, items=self._durations)
        weighed: pl.DataFrame = weigh_with_value(used, self._config)
        rows: pl.DataFrame = strongest(by_meeting(weighed.rename({USER_ID: USER_ROW, ITEM_ID: ITEM_ROW})))
        users = rows[USER_ROW].to_list()
        pairs = zip(users, _meetings(rows), strict=True)
        for user, own in groupby(pairs, key=lambda pair: pair[0]):
            yield UserState(user, meetings=in_order(meeting for _, meeting in own), settings=self.settings)

    def reweighed(self, state: UserState) -> UserState:
        """Return a state whose weights were computed under other settings under these; exact where events are merged.

        Of each item and day only the event is known that was the strongest under the settings before.
        """
        events = [
            Event(each.event_id, state.user, each.item, each.event, each.value, moment(each.timestamp), each.device)
            for each in state.meetings
        ]
        found = next(self.states(events), UserState(state.user))
        return UserState(state.user, state.facts, found.meetings, state.met, state.since, self.settings)


def settings_digest(config: FeaturesConfig) -> str:
    """Return 16 hex digits of the settings that decide which event of a meeting is the strongest, and its weight."""
    weights = [config.event_weights.get(kind, 0.0) for kind in EVENT_KINDS]
    return digest_of(
        {
            "event_weights": dict(zip(EVENT_KINDS, weights, strict=True)),
            "min_rating": config.min_rating,
            "watch_ratio_weight": config.watch_ratio_weight,
            "strength": list(STRENGTH),
        }
    )


def frame_of(events: Iterable[Event]) -> pl.DataFrame:
    """Return events as a table; raise DataError for a time without a zone."""
    try:
        rows = [(*each[:5], None if each.timestamp is None else microseconds(each.timestamp), each[6])
                for each in events]  # fmt: skip
    except (ValueError, AttributeError) as error:
        raise DataError(f"an event's timestamp cannot be used: {error}") from None
    schema = {**_COLUMNS, TIMESTAMP: pl.Int64()}
    ordered = {name: schema[name] for name in Event._fields}
    try:
        frame = pl.DataFrame(rows, schema=ordered, orient="row")
    except (TypeError, pl.exceptions.PolarsError):
        kinds = ", ".join(f"{name} {dtype}" for name, dtype in _COLUMNS.items())
        raise DataError(f"an event's columns must be of these types: {kinds}") from None
    return frame.cast({TIMESTAMP: _COLUMNS[TIMESTAMP]})


def _refuse_incomplete(interactions: pl.DataFrame) -> None:
    for name in (USER_ID, ITEM_ID, TIMESTAMP):
        lacking = interactions[name].null_count()
        if name != TIMESTAMP:
            lacking += int((interactions[name] == "").sum())
        if lacking:
            raise DataError(f"{lacking} of {len(interactions)} events have no {name}; leave them out")
    if lacking := interactions[EVENT].null_count():
        raise DataError(f"{lacking} of {len(interactions)} events have no {EVENT}; leave them out")


def _meetings(rows: pl.DataFrame) -> Iterator[Meeting]:
    values = (None if value is None or not math.isfinite(value) else value for value in rows[VALUE].to_list())
    return map(
        Meeting._make,
        zip(
            rows[ITEM_ROW].to_list(),
            rows[KIND].to_list(),
            values,
            rows[TIMESTAMP].dt.epoch("us").to_list(),
            rows[DEVICE].to_list(),
            rows[EVENT_ID].to_list(),
            rows[WEIGHT].to_list(),
            rows[POSITIVE].to_list(),
            strict=True,
        ),
    )


def _durations(durations: Mapping[str, float]) -> pl.DataFrame:
    columns = {ITEM_ID: list(durations), DURATION_S: list(durations.values())}
    return pl.DataFrame(columns, schema={ITEM_ID: pl.String, DURATION_S: pl.Float64})
