"""Recommends from a bundle: retrieve, blend, leave out what was seen or is not there, say why."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from recsys.config import RerankConfig
from recsys.errors import StorageError
from recsys.index import Index, load_index, vectors_digest
from recsys.registry import Bundle, load_bundle
from recsys.serving.listing import Ask, Listed, Lister
from recsys.serving.people import DatasetPeople, People, Person
from recsys.serving.reasons import Reasons
from recsys.serving.requests import HistoryEvent
from recsys.storage import local_path, verify


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
        self.people: People = people or DatasetPeople(bundle.dataset)
        self._places = {item: row for row, item in enumerate(bundle.dataset.items.ids.tolist())}
        self.lister = Lister(bundle, index, self._places)
        self.reasons = Reasons(bundle)
        self._settings = settings or RerankConfig()

    @classmethod
    def open(
        cls,
        bundle: str,
        index: str,
        settings: RerankConfig | None = None,
        people: People | None = None,
        threads: int = 2,
    ) -> Self:
        """Open a published bundle and index; raise StorageError when they do not belong together."""
        loaded = load_bundle(bundle, threads=threads)
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
        person = self.people.find(user_id) if user_id is not None else None
        second = int(at.timestamp()) if at else self.next_second(person)
        ask = Ask(person, k, second, demographics, device, history, taste, settings=self._settings)
        return self.told(self.lister.lists([ask])[0])

    def told(self, listed: Listed) -> list[Recommendation]:
        """Return a list in words, with the reason of each item."""
        items = self._bundle.dataset.items
        return [
            Recommendation(
                items.ids[item],
                items.titles[item],
                float(score),
                rank,
                self.reasons.explain(listed.asker, int(item)),
            )
            for rank, (item, score) in enumerate(zip(listed.rows, listed.scores, strict=True), 1)
        ]

    def last_second(self) -> int:
        """Return the second of the last event the bundle has seen."""
        return self._bundle.last_second

    def next_second(self, person: Person | None) -> int:
        """Return the second after the last event of the bundle and of a person."""
        own = int(person.events.timestamp[-1]) if person and len(person.events.timestamp) else 0
        return max(own, self.last_second()) + 1
