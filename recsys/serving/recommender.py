"""Recommends from a bundle: retrieve, blend, leave out what was seen or is not there, say why."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from recsys.config import RerankConfig
from recsys.errors import StorageError
from recsys.features import available_at, content_vectors, context_of
from recsys.index import ExactIndex, Index, load_index, vectors_digest
from recsys.registry import Bundle, load_bundle
from recsys.scoring import Profiles, Requests, RequestScorer
from recsys.serving.people import DatasetPeople, People, Person
from recsys.serving.reasons import Reasons
from recsys.serving.requests import Asker, HistoryEvent, asker_of
from recsys.serving.reranking import rerank, similarity_vectors
from recsys.storage import local_path, verify

_MARGIN = 20  # further items asked of the index, for those that have expired


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
    """A bundle with its index; `settings` re-rank each list, by default they do not.

    `people` finds users; by default those that the bundle's own dataset holds, which are none from format 4 on.
    """

    def __init__(
        self, bundle: Bundle, index: Index, settings: RerankConfig | None = None, people: People | None = None
    ) -> None:
        self._bundle = bundle
        self._index = index
        self.people: People = people or DatasetPeople(bundle.dataset)
        self._places = {item: row for row, item in enumerate(bundle.dataset.items.ids.tolist())}
        self._exact = ExactIndex(bundle.towers.item_vectors)
        self._scorer = RequestScorer(bundle.towers.item_vectors, bundle.blend)
        self._reasons = Reasons(bundle)
        self._settings = settings or RerankConfig()

    @classmethod
    def open(cls, bundle: str, index: str, settings: RerankConfig | None = None, people: People | None = None) -> Self:
        """Open a published bundle and index; raise StorageError when they do not belong together."""
        loaded = load_bundle(bundle)
        verify(index)
        forest, ids, about = load_index(local_path(index))
        if ids != loaded.dataset.items.ids:
            raise StorageError(f"the index {index} has other items than the bundle {bundle}; export it again")
        if about.vectors != vectors_digest(loaded.towers.item_vectors):
            raise StorageError(
                f"the index {index} was built from other vectors than the bundle's {bundle}; export it again"
            )
        return cls(loaded, forest, settings, people)

    @property
    def bundle(self) -> Bundle:
        """What is served."""
        return self._bundle

    @property
    def places(self) -> dict[str, int]:
        """The row of each item of the catalogue, by id."""
        return self._places

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
        history: Sequence[HistoryEvent] | None = None,
        taste: NDArray[np.float64] | None = None,
    ) -> list[Recommendation]:
        """Return up to k items for a user (pseudonym), or for a newcomer described by demographics.

        `at` is the time of the request, by default just after what the bundle and the user have seen; only events
        before it count. `history` adds further events `(item_id, event, time)`, such as a newcomer's first ones. Items
        the user has met, disliked ones too, are left out. A label the vocabulary lacks counts as unknown.
        `taste` [n_items] is further evidence, in standard deviations of score, that is added to the scores. Scores of a
        request with taste, or without a positive event, are such sums over the whole catalogue.
        """
        if k < 1:
            raise ValueError(f"k must be at least 1; got {k}")
        person = self.people.find(user_id) if user_id is not None else None
        second = int(at.timestamp()) if at else self._next_second(person)
        asker = asker_of(self._bundle.dataset, person, self._places, demographics, history, second)
        rows, scores = self._listed(asker, self._requests(asker, second, device, taste), k, second)
        items = self._bundle.dataset.items
        return [
            Recommendation(
                items.ids[item],
                items.titles[item],
                float(score),
                rank,
                self._reasons.explain(asker, int(item)),
            )
            for rank, (item, score) in enumerate(zip(rows, scores, strict=True), 1)
        ]

    def _listed(
        self, asker: Asker, requests: Requests, k: int, second: int
    ) -> tuple[NDArray[np.int32], NDArray[np.floating]]:
        """Return k rows and their scores, re-ranked if so configured; re-ranking leaves scores as they were."""
        settings = self._settings
        n = max(k, settings.n_candidates) if settings.active else k
        rows, scores = self._retrieved(asker, requests, n, second)
        if not settings.active:
            return rows, scores
        places = rerank(settings, rows, scores, self._similarity(rows), self._log_popularity[rows], k)
        return rows[places], scores[places]

    def _retrieved(
        self, asker: Asker, requests: Requests, n: int, second: int
    ) -> tuple[NDArray[np.int32], NDArray[np.floating]]:
        """Rank the catalogue, or where it is large what the index finds and what other evidence ranks first.

        When too few of those may be listed, the catalogue is ranked after all.
        """
        blend, n_items = self._bundle.blend, self._index.n_items
        whole = self._scorer.needs_catalogue(requests)
        if blend is None and not whole:
            return self._choose(requests.queries, n, asker.seen, second)
        if not whole and blend is not None and n_items > blend.blend.settings.full_max_items:
            asked = min(blend.blend.settings.n_retrieved + n + len(asker.seen) + _MARGIN, n_items)
            found, _ = self._index.query(requests.queries, asked)
            head = np.argpartition(-blend.evidence(requests.profiles)[0], asked - 1)[:asked]
            rows, scores = self._best(np.union1d(found[0][found[0] >= 0], head), requests, asker, n, second)
            if len(rows) == n:
                return rows, scores
        return self._best(None, requests, asker, n, second)

    def _best(
        self, rows: NDArray[np.integer] | None, requests: Requests, asker: Asker, n: int, second: int
    ) -> tuple[NDArray[np.int32], NDArray[np.floating]]:
        scores = self._scorer.scores(requests, rows)[0]
        order = np.argsort(-scores, kind="stable")
        ranked = (order if rows is None else rows[order]).astype(np.int32)
        kept = self._allowed(ranked, asker.seen, second)
        return ranked[kept][:n], scores[order][kept][:n]

    def _requests(self, asker: Asker, second: int, device: str | None, taste: NDArray[np.float64] | None) -> Requests:
        profiles = Profiles.of_one(asker.positives, self._index.n_items)
        return Requests(
            self._query(asker, second, device),
            profiles,
            asker.dataset.users.demographics,
            None if taste is None else np.asarray(taste)[None, :],
        )

    def _similarity(self, rows: NDArray[np.int32]) -> NDArray[np.float32]:
        return similarity_vectors(content_vectors(self._bundle.dataset, rows), self._bundle.towers.item_vectors[rows])

    @cached_property
    def _log_popularity(self) -> NDArray[np.float64]:
        counts: NDArray[np.float64] = np.log1p(np.asarray(self._bundle.dataset.items.train_count, np.float64))
        return counts

    def _choose(
        self, vector: NDArray[np.float32], k: int, seen: NDArray[np.int32], second: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        asked = k + len(seen) + _MARGIN
        rows, scores = self._index.query(vector, asked)
        kept = self._allowed(rows[0], seen, second)
        if kept.sum() < k and (rows[0] >= 0).sum() < self._index.n_items:
            rows, scores = self._exact.query(vector, self._index.n_items)
            kept = self._allowed(rows[0], seen, second)
        return rows[0][kept][:k], scores[0][kept][:k]

    def _allowed(self, rows: NDArray[np.int32], seen: NDArray[np.int32], second: int) -> NDArray[np.bool_]:
        items = self._bundle.dataset.items
        there = available_at(items.published_at[rows], items.expires_at[rows], second)
        result: NDArray[np.bool_] = (rows >= 0) & there & ~np.isin(rows, seen)
        return result

    def _query(self, asker: Asker, second: int, device: str | None) -> NDArray[np.float32]:
        """Return the query vector [1, D] of who asks."""
        towers, dataset = self._bundle.towers, asker.dataset
        ends, codes = dataset.events.offsets[1:], np.array([self._device(device)], np.int32)
        rows, seconds = np.zeros(1, np.int32), np.array([second], np.int64)
        if not len(asker.positives):
            length = towers.history_length
            return towers.query(
                history_vectors=np.zeros((1, length, towers.dim), np.float32),
                history_kinds=np.zeros((1, length), np.int32),
                history_ages=np.zeros((1, length), np.int32),
                history_gaps=np.zeros((1, length), np.int32),
                user=dataset.users.vocab,
                demographics=dataset.users.demographics,
                context=context_of(seconds, codes, timed=dataset.spec.timed),
            )
        return towers.query_vectors(dataset, towers.history_vectors, rows, ends, seconds, codes)

    def _device(self, device: str | None) -> int:
        vocabulary = self._bundle.dataset.spec.device_vocab
        return vocabulary.index(device) + 1 if device in vocabulary else 0

    def last_second(self) -> int:
        """Return the second of the last event the bundle has seen."""
        return self._bundle.last_second

    def _next_second(self, person: Person | None) -> int:
        own = int(person.events.timestamp[-1]) if person and len(person.events.timestamp) else 0
        return max(own, self.last_second()) + 1
