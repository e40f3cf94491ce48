"""Lists for many requests at once: one pass of the query tower and one product of scores, then each request's filters.

Filters are part of retrieval: what may not be listed is never a candidate, and where a filter leaves few items those
are scored one and all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from recsys.config import RerankConfig
from recsys.features import available_at, content_vectors
from recsys.index import ExactIndex, Index
from recsys.registry import Bundle
from recsys.scoring import Profiles, Requests, RequestScorer
from recsys.serving.people import Person
from recsys.serving.requests import Asker, HistoryEvent, asker_of
from recsys.serving.reranking import rerank, similarity_vectors

_MARGIN = 20  # further items asked of the index, for those that have expired
_FEW = 20_000  # items that a filter leaves and that are scored without the index
_NOBODY: NDArray[np.int32] = np.zeros(0, np.int32)

Rows = NDArray[np.int32]
Scores = NDArray[np.floating]


@dataclass(frozen=True)
class Ask:
    """One request: up to k items at a second since 1970, for a known person or a newcomer.

    `history` adds events, `taste` float64[n_items] is evidence in standard deviations of score. Rows `barred` are never
    listed, nor is what `eligible` bool[n_items] leaves out. `settings` re-rank the list.
    """

    person: Person | None
    k: int
    second: int
    demographics: Mapping[str, str] | None = None
    device: str | None = None
    history: Sequence[HistoryEvent] | None = None
    taste: NDArray[np.float64] | None = None
    barred: Rows = field(default_factory=lambda: _NOBODY)
    eligible: NDArray[np.bool_] | None = None
    settings: RerankConfig | None = None


@dataclass(frozen=True)
class Listed:
    """The rows and scores of a list, best first, and who asked; re-ranking leaves scores as they were.

    `whole` float32[n_items] are the scores of the catalogue where all of it was scored.
    """

    asker: Asker
    rows: Rows
    scores: Scores
    requests: Requests
    whole: NDArray[np.float32] | None = None


class Lister:
    """Ranks a bundle's items with its index."""

    def __init__(self, bundle: Bundle, index: Index, places: Mapping[str, int]) -> None:
        self._bundle, self._index, self._places = bundle, index, places
        self._exact = ExactIndex(bundle.towers.item_vectors)
        self._scorer = RequestScorer(bundle.towers.item_vectors, bundle.blend)
        self.published = np.array(bundle.dataset.items.published_at)
        self._expires = np.array(bundle.dataset.items.expires_at)

    def lists(self, asks: Sequence[Ask]) -> list[Listed]:
        """Return each request's list; ValueError for a k below 1."""
        if wrong := [ask.k for ask in asks if ask.k < 1]:
            raise ValueError(f"k must be at least 1; got {wrong[0]}")
        if not asks:
            return []
        dataset = self._bundle.dataset
        askers = [asker_of(dataset, ask.person, self._places, ask.demographics, ask.history, ask.second)
                  for ask in asks]  # fmt: skip
        requests = [
            Requests(query[None, :], Profiles.of_one(asker.positives, self._index.n_items),
                     asker.dataset.users.demographics, None if ask.taste is None else np.asarray(ask.taste)[None, :])
            for ask, asker, query in zip(asks, askers, self._queries(asks, askers), strict=True)
        ]  # fmt: skip
        known = self._scored_whole(asks, requests)
        return [
            self._listed(ask, asker, one, known.get(place))
            for place, (ask, asker, one) in enumerate(zip(asks, askers, requests, strict=True))
        ]

    def reschedule(self, row: int, published: int, expires: int) -> None:
        """Change when an item may be listed, in seconds since 1970; 0 is unknown and never."""
        self.published[row], self._expires[row] = published, expires

    def available(self, second: int) -> NDArray[np.bool_]:
        """Return bool[n_items]: what is published and not expired at a second since 1970."""
        return available_at(self.published, self._expires, second)

    def values(self, listed: Listed, rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return float32[m]: the scores of some rows, for who asked for a list."""
        if listed.whole is None:
            return np.asarray(self._scorer.scores(listed.requests, rows)[0], np.float32)
        return np.asarray(listed.whole[rows], np.float32)

    def _scored_whole(self, asks: Sequence[Ask], requests: Sequence[Requests]) -> dict[int, NDArray[np.float32]]:
        """Score the whole catalogue for those requests that ask for it, in one product; return scores by place."""
        whole = [place for place in range(len(asks)) if self._needs_all(requests[place])]
        together = [place for place in whole if requests[place].taste is None]
        found = {place: self._scorer.scores(requests[place])[0] for place in whole if requests[place].taste is not None}
        if together:
            scores = self._scorer.scores(_stacked([requests[place] for place in together]))
            found |= dict(zip(together, scores, strict=True))
        return found

    def _needs_all(self, one: Requests) -> bool:
        if self._scorer.needs_catalogue(one):
            return True
        blend = self._bundle.blend
        return blend is not None and self._index.n_items <= blend.blend.settings.full_max_items

    def _listed(self, ask: Ask, asker: Asker, one: Requests, scores: NDArray[np.float32] | None) -> Listed:
        settings = ask.settings or RerankConfig()
        n = max(ask.k, settings.n_candidates) if settings.active else ask.k
        allowed = self._allowed(ask, asker)
        rows, values = self._retrieved(ask, asker, one, n, allowed) if scores is None else best(scores, n, allowed)
        if settings.active:
            vectors = similarity_vectors(
                content_vectors(self._bundle.dataset, rows), self._bundle.towers.item_vectors[rows]
            )
            places = rerank(settings, rows, values, vectors, self.log_popularity[rows], ask.k)
            rows, values = rows[places], values[places]
        return Listed(asker, rows, values, one, scores)

    def _retrieved(
        self, ask: Ask, asker: Asker, one: Requests, n: int, allowed: NDArray[np.bool_]
    ) -> tuple[Rows, Scores]:
        """Rank what the index finds and what other evidence ranks first, or all that may be listed where it is little.

        When too few of those found may be listed, the catalogue is ranked after all.
        """
        blend, n_items = self._bundle.blend, self._index.n_items
        if ask.eligible is not None and (chosen := np.flatnonzero(allowed)).size <= _FEW:
            return best(self._scorer.scores(one, chosen)[0], n, None, chosen)
        if blend is None:
            return self._nearest(one.queries, n, len(asker.seen) + len(ask.barred), allowed)
        hidden = len(asker.seen) + len(ask.barred)
        asked = min(blend.blend.settings.n_retrieved + n + hidden + _MARGIN, n_items)
        found, _ = self._index.query(one.queries, asked)
        head = np.argpartition(-blend.evidence(one.profiles)[0], asked - 1)[:asked]
        near = np.union1d(found[0][found[0] >= 0], head)
        near = near[allowed[near]]
        if len(near) >= n:
            return best(self._scorer.scores(one, near)[0], n, None, near)
        return best(self._scorer.scores(one)[0], n, allowed)

    def _nearest(
        self, query: NDArray[np.float32], n: int, n_hidden: int, allowed: NDArray[np.bool_]
    ) -> tuple[Rows, Scores]:
        rows, scores = self._index.query(query, min(n + n_hidden + _MARGIN, self._index.n_items))
        kept = (rows[0] >= 0) & allowed[rows[0]]
        if kept.sum() < n and (rows[0] >= 0).sum() < self._index.n_items:
            rows, scores = self._exact.query(query, self._index.n_items)
            kept = (rows[0] >= 0) & allowed[rows[0]]
        return rows[0][kept][:n], scores[0][kept][:n]

    def _allowed(self, ask: Ask, asker: Asker) -> NDArray[np.bool_]:
        """Return bool[n_items]: what may be listed."""
        allowed = self.available(ask.second)
        if ask.eligible is not None:
            allowed &= ask.eligible
        allowed[asker.seen] = False
        allowed[ask.barred] = False
        return allowed

    def _queries(self, asks: Sequence[Ask], askers: Sequence[Asker]) -> NDArray[np.float32]:
        """Return the query vectors float32[n, D] of who asks."""
        towers = self._bundle.towers
        parts = [towers.query_arrays(asker.dataset, towers.history_vectors, self._one, asker.dataset.events.offsets[1:],
                                     np.array([ask.second], np.int64), np.array([self._device(ask.device)], np.int32))
                 for ask, asker in zip(asks, askers, strict=True)]  # fmt: skip
        if len(parts) == 1:
            return towers.query(parts[0])
        return towers.query({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})

    _one = np.zeros(1, np.int32)

    @cached_property
    def log_popularity(self) -> NDArray[np.float64]:
        """Return float64[n_items]: the log of one plus each item's events in training."""
        counts: NDArray[np.float64] = np.log1p(np.asarray(self._bundle.dataset.items.train_count, np.float64))
        return counts

    def _device(self, device: str | None) -> int:
        vocabulary = self._bundle.dataset.spec.device_vocab
        return vocabulary.index(device) + 1 if device in vocabulary else 0


def best(
    scores: Scores, n: int, allowed: NDArray[np.bool_] | None, rows: NDArray[np.integer] | None = None
) -> tuple[Rows, Scores]:
    """Return the n best rows and their scores, best first; of equals, the smaller row.

    `scores` [n_candidates] are those of `rows`, by default of rows 0, 1, ...; `allowed` [n_candidates] leaves some out.

    >>> best(np.array([1.0, 3.0, 3.0, 2.0]), 2, np.array([True, True, True, False]))[0].tolist()
    [1, 2]
    """
    places = np.arange(len(scores)) if allowed is None else np.flatnonzero(allowed)
    values = scores if allowed is None else scores[places]
    if len(values) > n:
        least = np.partition(values, len(values) - n)[len(values) - n]
        head = np.flatnonzero(values >= least)
        places, values = places[head], values[head]
    order = np.argsort(-values, kind="stable")[:n]
    chosen = places[order]
    return (chosen if rows is None else rows[chosen]).astype(np.int32), values[order]


def _stacked(requests: Sequence[Requests]) -> Requests:
    if len(requests) == 1:
        return requests[0]
    items = csr_array(vstack([one.profiles.items for one in requests], format="csr"))
    recent = np.concatenate([one.profiles.recent for one in requests])
    queries = np.concatenate([one.queries for one in requests])
    return Requests(queries, Profiles(items, recent), np.concatenate([one.demographics for one in requests]))
