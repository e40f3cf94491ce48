"""A training set without some of its rows: of users who may not be read any more, or of events past retention."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import JsonValue

from recsys.features.dataset import Dataset, EventArrays, UserArrays
from recsys.storage import local_path, publish, verify

REMOVED: Final = "removed-"
"""Stands before the place of a removed user's id in the vocabulary, so that the other users keep theirs."""


def without_users(dataset: Dataset, ids: Collection[str]) -> Dataset:
    """Return a dataset without the rows and events of some users; items and all that was fitted stay as they are.

    Their ids in the vocabulary become placeholders: towers trained on it still find everybody else.
    """
    chosen = set(ids)
    kept = ~dataset.users.ids.to_series().is_in(sorted(chosen)).to_numpy()
    vocabulary = [
        f"{REMOVED}{place}" if user in chosen else user for place, user in enumerate(dataset.spec.user_vocab, 1)
    ]
    return _of_users(replace(dataset, spec=dataset.spec.model_copy(update={"user_vocab": vocabulary})), kept)


def without_people(dataset: Dataset) -> Dataset:
    """Return a dataset of items and of what was fitted, without any user and event."""
    return _of_users(dataset, np.zeros(len(dataset.users.ids), bool))


def without_events_before(dataset: Dataset, second: int) -> Dataset:
    """Return a dataset without the events before a moment in seconds; its users stay."""
    everybody = np.ones(len(dataset.users.ids), bool)
    return replace(dataset, events=_events(dataset.events, np.asarray(dataset.events.timestamp) >= second, everybody))


def redact_features(uri: str, ids: Collection[str], before: int | None = None) -> str:
    """Publish a copy of a training set without some users, and without events before a second; returns its address.

    Beside the one it is made from, which stays until it is collected.
    """
    info = verify(uri).info
    dataset = redacted(Dataset.load(local_path(uri)), ids, before)
    with publish(uri.rsplit("/", 1)[0], {**info, "redacted_from": redacted_from(info, uri)}) as publication:
        dataset.save(publication.path)
    return publication.uri


def redacted_from(info: Mapping[str, JsonValue], uri: str) -> str:
    """Return the digests, oldest first, of what a copy of a folder is made from; `info` is that folder's own."""
    return f"{info.get('redacted_from', '')} {uri.rsplit('/', 1)[-1]}".strip()


def redacted(dataset: Dataset, ids: Collection[str], before: int | None = None) -> Dataset:
    """Return a dataset without some users, and without events before a second."""
    fewer = without_users(dataset, ids)
    return fewer if before is None else without_events_before(fewer, before)


def _of_users(dataset: Dataset, kept: NDArray[np.bool_]) -> Dataset:
    users = UserArrays(
        ids=dataset.users.ids[kept],
        vocab=np.asarray(dataset.users.vocab)[kept],
        demographics=np.asarray(dataset.users.demographics)[kept],
    )
    events = _events(dataset.events, np.repeat(kept, np.diff(dataset.events.offsets)), kept)
    return replace(dataset, users=users, users_frame=dataset.users_frame.filter(pl.Series(kept)), events=events)


def _events(events: EventArrays, kept: NDArray[np.bool_], users: NDArray[np.bool_]) -> EventArrays:
    rows = np.repeat(np.arange(len(users)), np.diff(events.offsets))[kept]
    lengths = np.bincount(rows, minlength=len(users))[users]
    arrays = {name: np.asarray(getattr(events, name))[kept] for name in EventArrays.__dataclass_fields__
              if name != "offsets"}  # fmt: skip
    return EventArrays(**arrays, offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
