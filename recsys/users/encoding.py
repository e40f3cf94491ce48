"""A user's state as the arrays that a training set of the same events holds of that user."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.config import FeaturesConfig
from recsys.features import EventArrays, FeatureSpec, StringColumn, UserArrays
from recsys.features.capping import capped
from recsys.features.events import ITEM_ROW, KIND, POSITIVE, USER_ROW
from recsys.features.split import SPLIT
from recsys.features.values import Usual, by_value
from recsys.schema import VALUE, WEIGHT
from recsys.users.state import DAY_US, Meeting, UserState, microseconds

_SECOND_US = 1_000_000
_PLACE = "place"
_OFFSETS = "offsets"


class Encoding:
    """What the states of users are encoded with: one model's spec, the rows of its items, and the features' settings.

    `places` maps item ids to item rows; events with items that it lacks are left out. The settings must be those that
    the spec was fitted under.
    """

    def __init__(self, spec: FeatureSpec, places: Mapping[str, int], config: FeaturesConfig) -> None:
        self._places, self._config = places, config
        self._users = Vocabulary(spec.user_vocab)
        self._devices = Vocabulary(spec.device_vocab)
        self._demographics = {name: Vocabulary(labels) for name, labels in spec.demographic_vocabs.items()}
        self._cuts = np.array([_microseconds(spec.validation_start), _microseconds(spec.test_start)])
        self._since = _microseconds(spec.history_since) if spec.history_since else None
        cap = spec.info.get("max_user_events", 0)
        self._cap = cap if isinstance(cap, int) else 0
        self._usual = spec.usual_values

    def arrays(self, state: UserState, until: int | None = None) -> EventArrays:
        """Return a user's events before second `until`, in the order of time; all of them for None.

        Items of meetings that are only remembered as met come first, with kind and weight 0, never positive. An event's
        split is by its time.
        """
        met = self._met(state)
        events = _joined(met, self._weighed(state)) if len(met.item) else self._weighed(state)
        if until is None or not len(events.item) or events.timestamp[-1] < until:
            return events
        return _taken(events, slice(0, int(np.searchsorted(events.timestamp, until))))

    def user_arrays(self, state: UserState) -> UserArrays:
        """Return the user's row: pseudonym, code of the vocabulary [1] and of each demographic column [1, D]."""
        labels = state.demographics
        codes = [vocabulary.code(labels.get(name)) for name, vocabulary in self._demographics.items()]
        return UserArrays(
            ids=StringColumn.of([state.user]),
            vocab=np.array([self._users.code(state.user)], np.int32),
            demographics=np.array([codes], np.int32).reshape(1, len(self._demographics)),
        )

    def _weighed(self, state: UserState) -> EventArrays:
        """Return the meetings as the features' settings weigh them."""
        meetings = [meeting for meeting in state.meetings if meeting.item in self._places]
        times = np.array([meeting.timestamp for meeting in meetings], np.int64)
        learned = np.ones(len(times), bool) if self._since is None else times >= self._since
        events = EventArrays(
            item=np.array([self._places[meeting.item] for meeting in meetings], np.int32),
            kind=np.array([meeting.kind for meeting in meetings], np.int8),
            weight=np.where(learned, [meeting.weight for meeting in meetings], 0.0).astype(np.float32),
            timestamp=times // _SECOND_US,
            device=np.array([self._devices.code(meeting.device) for meeting in meetings], np.int32),
            positive=np.array([meeting.positive for meeting in meetings], bool) & learned,
            split=self._splits(times),
            offsets=np.array([0, len(times)], np.int64),
        )
        if self._config.value_weight == "none" and not self._is_over_cap(events):
            return events
        return self._by_tables(events, meetings)

    def _is_over_cap(self, events: EventArrays) -> bool:
        return 0 < self._cap < int(np.bincount(events.split[events.positive], minlength=1).max())

    def _by_tables(self, events: EventArrays, meetings: list[Meeting]) -> EventArrays:
        """Weigh by value and cap with the code of the training sets: slower, and needed by few."""
        columns = {
            USER_ROW: np.zeros(len(meetings), np.uint32),
            ITEM_ROW: events.item.astype(np.uint32),
            KIND: events.kind,
            POSITIVE: events.positive,
            WEIGHT: events.weight,
            SPLIT: events.split,
            VALUE: pl.Series([meeting.value for meeting in meetings], dtype=pl.Float64),
            _PLACE: np.arange(len(meetings)),
        }
        rows = by_value(pl.DataFrame(columns), self._config, self._usual_of(events, meetings))
        if self._cap:
            rows, _ = capped(rows, self._config.model_copy(update={"max_user_events": self._cap}))
        weight, positive = rows[WEIGHT].to_numpy().astype(np.float32), rows[POSITIVE].to_numpy()
        return replace(_taken(events, rows[_PLACE].to_numpy()), weight=weight, positive=positive)

    def _usual_of(self, events: EventArrays, meetings: list[Meeting]) -> Usual | None:
        if not self._usual:
            return None
        own = {
            int(row): self._usual[meeting.item]
            for row, meeting in zip(events.item, meetings, strict=True)
            if meeting.item in self._usual
        }
        return Usual.of(self._usual[""], own)

    def _met(self, state: UserState) -> EventArrays:
        met = sorted((day, self._places[item]) for item, day in state.met.items() if item in self._places)
        times = np.array([day * DAY_US for day, _ in met], np.int64)
        nothing = np.zeros(len(met), np.int32)
        return EventArrays(
            item=np.array([row for _, row in met], np.int32),
            kind=nothing.astype(np.int8),
            weight=nothing.astype(np.float32),
            timestamp=times // _SECOND_US,
            device=nothing,
            positive=nothing.astype(bool),
            split=self._splits(times),
            offsets=np.array([0, len(met)], np.int64),
        )

    def _splits(self, times: NDArray[np.int64]) -> NDArray[np.int8]:
        return np.searchsorted(self._cuts, times, side="right").astype(np.int8)


class Vocabulary:
    """Codes of known values, from 1; 0 for others. Values that are sorted cost no memory of their own."""

    def __init__(self, values: Sequence[str]) -> None:
        self._values = values
        is_sorted = all(before < after for before, after in pairwise(values))
        self._codes = None if is_sorted else {value: code for code, value in enumerate(values, 1)}

    def code(self, value: str | None) -> int:
        """Return the code of a value."""
        if value is None:
            return 0
        if self._codes is not None:
            return self._codes.get(value, 0)
        place = bisect_left(self._values, value)
        return place + 1 if place < len(self._values) and self._values[place] == value else 0


def _microseconds(text: str) -> int:
    return microseconds(datetime.fromisoformat(text))


def _taken(events: EventArrays, places: NDArray[np.integer] | slice) -> EventArrays:
    taken = {each.name: getattr(events, each.name)[places] for each in fields(events) if each.name != _OFFSETS}
    return EventArrays(**taken, offsets=np.array([0, len(taken["item"])], np.int64))


def _joined(first: EventArrays, then: EventArrays) -> EventArrays:
    names = [each.name for each in fields(first) if each.name != _OFFSETS]
    joined = {name: np.concatenate([getattr(first, name), getattr(then, name)]) for name in names}
    return EventArrays(**joined, offsets=np.array([0, len(joined["item"])], np.int64))
