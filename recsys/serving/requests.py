"""Who asks, as the arrays the query tower reads: a known user, a newcomer, or someone who brings a history along."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from recsys.errors import DataError
from recsys.features import Dataset, EventArrays, StringColumn, UserArrays
from recsys.schema import EVENT_KINDS
from recsys.serving.people import Person

HistoryEvent = tuple[str, str, datetime]


@dataclass(frozen=True)
class Asker:
    """One user as a dataset of one user row: `dataset` has the bundle's items and this user's events alone.

    `positives` are rows of items that enter the history, oldest first, `kinds` their event kinds; `seen` are all items
    not to be recommended again.
    """

    dataset: Dataset
    positives: NDArray[np.int32]
    kinds: NDArray[np.int8]
    seen: NDArray[np.int32]


def asker_of(
    dataset: Dataset,
    person: Person | None,
    places: Mapping[str, int],
    demographics: Mapping[str, str] | None,
    history: Sequence[HistoryEvent] | None,
    until: int,
) -> Asker:
    """Return who asks: a known person, or a newcomer for None, with what the request adds.

    Stored events from second `until` on are left out; given `history` is appended in order of time, items of it that
    the catalogue lacks are ignored, and every given event but a dislike counts as positive. Given demographics replace
    stored ones.
    """
    given = _given(history or (), places)
    events = _joined(_before(person.events, until), given) if person else given
    users = UserArrays(
        ids=person.users.ids if person else StringColumn.of([""]),
        vocab=person.users.vocab if person else np.zeros(1, np.int32),
        demographics=_demographics(dataset, person, demographics or {})[None, :],
    )
    positive = events.positive
    return Asker(
        replace(dataset, users=users, events=events),
        events.item[positive],
        events.kind[positive],
        np.unique(events.item),
    )


def _before(events: EventArrays, until: int) -> EventArrays:
    n = int(np.searchsorted(events.timestamp, until))
    if n == len(events.item):
        return events
    own = {each.name: getattr(events, each.name)[:n] for each in fields(EventArrays) if each.name != "offsets"}
    return EventArrays(**own, offsets=np.array([0, n], np.int64))


def _given(history: Sequence[HistoryEvent], places: Mapping[str, int]) -> EventArrays:
    unknown = sorted({kind for _, kind, _ in history if kind not in EVENT_KINDS})
    if unknown:
        raise DataError(f"history events must be one of {', '.join(EVENT_KINDS)}; got {', '.join(unknown)}")
    known = [(places[item], kind, time) for item, kind, time in history if item in places and kind != "impression"]
    n = len(known)
    return EventArrays(
        item=np.array([place for place, _, _ in known], np.int32),
        kind=np.array([EVENT_KINDS.index(kind) + 1 for _, kind, _ in known], np.int8),
        weight=np.ones(n, np.float32),
        timestamp=np.array([int(time.timestamp()) for _, _, time in known], np.int64),
        device=np.zeros(n, np.int32),
        positive=np.array([kind != "dislike" for _, kind, _ in known], bool),
        split=np.zeros(n, np.int8),
        offsets=np.array([0, n], np.int64),
    )


def _joined(stored: EventArrays, given: EventArrays) -> EventArrays:
    if not len(given.item):
        return stored
    order = np.argsort(np.concatenate([stored.timestamp, given.timestamp]), kind="stable")
    names = [each.name for each in fields(EventArrays) if each.name != "offsets"]
    both = {name: np.concatenate([getattr(stored, name), getattr(given, name)])[order] for name in names}
    return EventArrays(**both, offsets=np.array([0, len(order)], np.int64))


def _demographics(dataset: Dataset, person: Person | None, given: Mapping[str, str]) -> NDArray[np.int32]:
    vocabularies = dataset.spec.demographic_vocabs
    result = np.zeros(len(vocabularies), np.int32)
    if person is not None:
        result[:] = person.users.demographics[0]
    for place, (name, vocabulary) in enumerate(vocabularies.items()):
        if name in given:
            result[place] = vocabulary.index(given[name]) + 1 if given[name] in vocabulary else 0
    return result
