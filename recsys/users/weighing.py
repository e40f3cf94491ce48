"""From events to meetings, by the code that training sets are built with."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
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
from recsys.users.state import Meeting, UserState, in_order, microseconds, moment, strongest_by_day

_FEW: Final = 2000  # events from which a table is faster
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
        self._weights = _weights(config)

    def states(self, events: Sequence[Event]) -> Iterator[UserState]:
        """Yield, sorted by user, a state of each user whose events say something about taste.

        Raises DataError for an event without user, item, kind or time, or of a kind that does not exist.
        """
        # A table costs 10 ms, whatever its length; where an item's duration counts, only a table will do.
        few = len(events) <= _FEW and self._durations is None
        return self._of_few(events) if few and all(map(_is_plain, events)) else self.states_of(frame_of(events))

    def _of_few(self, events: Sequence[Event]) -> Iterator[UserState]:
        own: dict[str, list[Meeting]] = {}
        for event in events:
            value = _finite(event.value)
            poor = (0.0 if event.value is None or math.isnan(event.value) else event.value) < self._config.min_rating
            if (weighed := self._weights.get((event.event, poor))) is not None:
                kind, weight, positive = weighed
                time = microseconds(event.timestamp)
                meeting = Meeting(event.item_id, kind, value, time, event.device, event.event_id, weight, positive)
                own.setdefault(event.user_id, []).append(meeting)
        for user, meetings in sorted(own.items()):
            yield UserState(user, meetings=in_order(strongest_by_day(meetings).values()), settings=self.settings)

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


def _weights(config: FeaturesConfig) -> dict[tuple[str, bool], tuple[int, float, bool]]:
    """Return kind, weight and whether it is positive of an event, by its kind in words and whether its value is poor.

    The features' own code weighs one event of each sort; what says nothing about taste is not among them.
    """
    sorts = [(kind, poor) for kind in EVENT_KINDS for poor in (False, True)]
    now = datetime.fromtimestamp(0, UTC)
    events = [
        Event(str(place), "user", "item", kind, config.min_rating - poor, now)
        for place, (kind, poor) in enumerate(sorts)
    ]
    weighed: pl.DataFrame = weigh_with_value(frame_of(events), config)
    rows = weighed.select(EVENT_ID, KIND, WEIGHT, POSITIVE).rows()
    return {sorts[int(place)]: (kind, weight, positive) for place, kind, weight, positive in rows}


def _is_plain(event: Event) -> bool:
    """Tell whether an event is as it should be; a table says what is wrong with others."""
    texts, moment = (event.user_id, event.item_id), event.timestamp
    return (
        all(isinstance(text, str) and text for text in texts)
        and event.event in EVENT_KINDS
        and (event.value is None or type(event.value) in (int, float))
        and isinstance(moment, datetime)
        and moment.tzinfo is not None
        and all(text is None or isinstance(text, str) for text in (event.device, event.event_id))
    )


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


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
    values = map(_finite, rows[VALUE].to_list())
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
