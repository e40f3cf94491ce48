"""The recommender that serves: a bundle and its index, on ONNX Runtime and Annoy, without TensorFlow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from recsys.errors import StorageError
from recsys.features import FeatureSpec
from recsys.index import Index, load_index, vectors_sha
from recsys.registry import Bundle, load_bundle
from recsys.serving.reasons import Reasons
from recsys.serving.requests import Asker, HistoryEvent, asker_of
from recsys.serving.retrieve import available, retrieve
from recsys.storage import local_path


@dataclass(frozen=True)
class Recommendation:
    """One place of a list; `rank` counts from 1."""

    item_id: str
    title: str
    score: float
    rank: int
    reason: str


class BundleRecommender:
    """Answers users of the bundle and newcomers. `n_exact` counts answers for which the index found too few items."""

    def __init__(self, bundle: Bundle, index: Index) -> None:
        if index.n_items != bundle.info.n_items:
            raise StorageError(
                f"index and bundle must hold the same items; got {index.n_items} and {bundle.info.n_items}"
            )
        self._bundle, self._index = bundle, index
        self._vectors: NDArray[np.float32] = np.asarray(bundle.towers.item_vectors, np.float32)
        self._users = {str(user): row for row, user in enumerate(bundle.dataset.users.ids)}
        self._places = {str(item): row for row, item in enumerate(bundle.dataset.items.ids)}
        self._reasons = Reasons(bundle.dataset, self._vectors)
        self.n_exact = 0

    @classmethod
    def open(cls, bundle_uri: str | Path, index_uri: str | Path) -> Self:
        """Open a bundle and its index; raise StorageError when they are damaged or do not belong together."""
        bundle = load_bundle(local_path(str(bundle_uri)))
        index, ids, info = load_index(local_path(str(index_uri)))
        if ids != bundle.dataset.items.ids.tolist() or info.vectors_sha != vectors_sha(bundle.towers.item_vectors):
            raise StorageError(f"index {index_uri} was not made from bundle {bundle_uri}; export the index again")
        return cls(bundle, index)

    @property
    def as_of(self) -> datetime:
        """The time of the last event the bundle knows."""
        return datetime.fromtimestamp(self._bundle.info.as_of, UTC)

    @property
    def spec(self) -> FeatureSpec:
        """The spec the model was trained with."""
        return self._bundle.dataset.spec

    def knows(self, user_id: str) -> bool:
        """Tell whether the bundle has this pseudonym."""
        return user_id in self._users

    def recommend(
        self,
        user_id: str | None,
        k: int = 10,
        demographics: Mapping[str, str] | None = None,
        history: Sequence[HistoryEvent] | None = None,
        at: datetime | None = None,
        device: str | None = None,
    ) -> list[Recommendation]:
        """Return up to k items published and not expired at `at`, none of which the user has met before.

        An unknown pseudonym is a newcomer. `at` defaults to just after the bundle's last event. Given demographics are
        labels of the spec's vocabularies (others count as unknown); given history is `(item_id, event, time)`.
        """
        when = self._moment(at)
        asker = self._asker(user_id, demographics, history, when)
        query = self._query(asker, when, device)
        allowed = available(self._bundle.dataset.items, when)
        allowed[asker.seen] = False
        found = retrieve(query, self._vectors, self._index, allowed, k, len(asker.seen))
        self.n_exact += found.exact
        items = self._bundle.dataset.items
        return [
            Recommendation(
                str(items.ids[row]), str(items.titles[row]), float(score), rank, self._reasons.explain(asker, int(row))
            )
            for rank, (row, score) in enumerate(zip(found.rows, found.scores, strict=True), 1)
        ]

    def query_vector(self, user_id: str | None, at: datetime | None = None) -> NDArray[np.float32]:
        """Return the query vector [D] behind `recommend`; parity compares it across processes."""
        when = self._moment(at)
        return self._query(self._asker(user_id, None, None, when), when, None)

    def _moment(self, at: datetime | None) -> int:
        return int(at.timestamp()) if at else self._bundle.info.as_of + 1

    def _asker(
        self,
        user_id: str | None,
        demographics: Mapping[str, str] | None,
        history: Sequence[HistoryEvent] | None,
        when: int,
    ) -> Asker:
        row = self._users.get(user_id) if user_id is not None else None
        return asker_of(self._bundle.dataset, row, self._places, demographics, history, when)

    def _query(self, asker: Asker, when: int, device: str | None) -> NDArray[np.float32]:
        devices = self.spec.device_vocab
        code = devices.index(device) + 1 if device in devices else 0
        vectors = self._bundle.towers.query_vectors(
            asker.dataset,
            self._vectors,
            np.zeros(1, np.int32),
            asker.dataset.events.offsets[1:],
            np.array([when], np.int64),
            np.array([code], np.int32),
        )
        if not np.isfinite(vectors).all():
            raise StorageError("the query tower answered NaN or infinity; roll back to the version before")
        return vectors[0]
