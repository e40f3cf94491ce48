"""Recommends from a bundle: retrieve by the index, leave out what was seen or is not there, say why."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from recsys.errors import StorageError
from recsys.features import context_of
from recsys.index import ExactIndex, Index, load_index
from recsys.registry import Bundle, load_bundle
from recsys.storage import local_path

_MARGIN = 20  # further items asked of the index, for those that have expired
_EXPLAINED_BY = 20  # recent history items that may explain a recommendation


@dataclass(frozen=True)
class Recommendation:
    """One item of a list; `rank` counts from 1."""

    item_id: str
    title: str
    score: float
    rank: int
    reason: str

    def to_json(self) -> dict[str, JsonValue]:
        """Return the fields by name."""
        return asdict(self)


class BundleRecommender:
    """A bundle with its index."""

    def __init__(self, bundle: Bundle, index: Index) -> None:
        self._bundle = bundle
        self._index = index
        self._users = {user: row for row, user in enumerate(bundle.dataset.users.ids.tolist())}
        self._exact = ExactIndex(bundle.towers.item_vectors)

    @classmethod
    def open(cls, bundle: str, index: str) -> Self:
        """Open a published bundle and index; raise StorageError when they do not belong together."""
        loaded = load_bundle(bundle)
        forest, ids, _ = load_index(local_path(index))
        if not np.array_equal(ids, loaded.dataset.items.ids):
            raise StorageError(f"the index {index} has other items than the bundle {bundle}; export it again")
        return cls(loaded, forest)

    @property
    def user_ids(self) -> list[str]:
        """The pseudonyms of users whose history the bundle holds."""
        return list(self._users)

    def busiest_user(self) -> str:
        """Return the pseudonym of the user with most events."""
        dataset = self._bundle.dataset
        return str(dataset.users.ids[int(np.argmax(np.diff(dataset.events.offsets)))])

    def example_demographics(self) -> dict[str, str]:
        """Return demographics somebody might have: the middle value of each vocabulary."""
        vocabularies = self._bundle.dataset.spec.demographic_vocabs
        return {name: vocabulary[len(vocabulary) // 2] for name, vocabulary in vocabularies.items() if vocabulary}

    def recommend(
        self,
        user_id: str | None,
        k: int,
        demographics: Mapping[str, str] | None = None,
        device: str | None = None,
        at: datetime | None = None,
    ) -> list[Recommendation]:
        """Return up to k items for a user (pseudonym), or for a newcomer described by demographics.

        `at` is the time of the request, by default the end of what the bundle has seen.
        """
        if k < 1:
            raise ValueError(f"k must be at least 1; got {k}")
        second = int(at.timestamp()) if at else self._last_second()
        row = self._users.get(user_id) if user_id is not None else None
        history = self._history(row) if row is not None else np.zeros(0, np.int32)
        vector = self._known(row, second, device) if row is not None else self._newcomer(demographics, second, device)
        rows, scores = self._choose(vector, k, history, second)
        return [
            Recommendation(str(items.ids[item]), str(items.titles[item]), float(score), rank, reason)
            for items in [self._bundle.dataset.items]
            for rank, (item, score, reason) in enumerate(
                zip(rows, scores, self._reasons(rows, history, demographics), strict=True), 1
            )
        ]

    def _choose(
        self, vector: NDArray[np.float32], k: int, history: NDArray[np.int32], second: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        asked = k + len(history) + _MARGIN
        rows, scores = self._index.query(vector, asked)
        kept = self._allowed(rows[0], history, second)
        if kept.sum() < k and (rows[0] >= 0).sum() < self._index.n_items:
            rows, scores = self._exact.query(vector, self._index.n_items)
            kept = self._allowed(rows[0], history, second)
        return rows[0][kept][:k], scores[0][kept][:k]

    def _allowed(self, rows: NDArray[np.int32], history: NDArray[np.int32], second: int) -> NDArray[np.bool_]:
        items = self._bundle.dataset.items
        expires = items.expires_at[rows]
        there = (items.published_at[rows] <= second) & ((expires == 0) | (expires > second))
        result: NDArray[np.bool_] = (rows >= 0) & there & ~np.isin(rows, history)
        return result

    def _history(self, row: int) -> NDArray[np.int32]:
        events = self._bundle.dataset.events
        part = slice(int(events.offsets[row]), int(events.offsets[row + 1]))
        history: NDArray[np.int32] = np.asarray(events.item[part])[np.asarray(events.positive[part])]
        return history

    def _known(self, row: int, second: int, device: str | None) -> NDArray[np.float32]:
        bundle = self._bundle
        end = np.asarray(bundle.dataset.events.offsets)[[row + 1]]
        codes = np.array([self._device(device)], np.int32)
        return bundle.towers.query_vectors(
            bundle.dataset, bundle.towers.item_vectors, np.array([row]), end, np.array([second]), codes
        )

    def _newcomer(
        self, demographics: Mapping[str, str] | None, second: int, device: str | None
    ) -> NDArray[np.float32]:
        towers, vocabularies = self._bundle.towers, self._bundle.dataset.spec.demographic_vocabs
        known = demographics or {}
        codes = [
            vocabulary.index(known[name]) + 1 if known.get(name) in vocabulary else 0
            for name, vocabulary in vocabularies.items()
        ]
        length = towers.history_length
        return towers.query(
            history_vectors=np.zeros((1, length, towers.dim), np.float32),
            history_kinds=np.zeros((1, length), np.int32),
            history_gaps=np.zeros((1, length), np.int32),
            user=np.zeros(1, np.int32),
            demographics=np.array([codes], np.int32).reshape(1, len(codes)),
            context=context_of(np.array([second]), np.array([self._device(device)])),
        )

    def _device(self, device: str | None) -> int:
        vocabulary = self._bundle.dataset.spec.device_vocab
        return vocabulary.index(device) + 1 if device in vocabulary else 0

    def _last_second(self) -> int:
        return int(np.max(self._bundle.dataset.events.timestamp))

    def _reasons(
        self, rows: NDArray[np.int32], history: NDArray[np.int32], demographics: Mapping[str, str] | None
    ) -> list[str]:
        if not len(history):
            like = ", ".join(f"{name} {value}" for name, value in (demographics or {}).items())
            return [f"liked by people like you ({like})" if like else "a good start for anyone"] * len(rows)
        vectors = self._bundle.towers.item_vectors
        recent = history[-_EXPLAINED_BY:]
        closest = recent[np.argmax(_unit(vectors[rows]) @ _unit(vectors[recent]).T, axis=1)]
        titles = self._bundle.dataset.items.titles
        return [f"because you liked {titles[item] or self._bundle.dataset.items.ids[item]}" for item in closest]


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = (vectors / np.where(norms > 0, norms, 1)).astype(np.float32)
    return unit
