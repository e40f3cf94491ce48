"""One version as it serves: bundle, index, catalogue, and what is listed for nobody in particular."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from recsys.config import Config
from recsys.eventlog import EventLog
from recsys.scoring import TOWER
from recsys.service.catalogue import Catalogue
from recsys.service.requests import Filters
from recsys.serving import BundleRecommender, Champion, NewcomerRecommender, encoding_for
from recsys.serving.listing import Ask, best
from recsys.users import Encoding

_FRESH_DAYS = 7.0  # an item's bonus for being new halves in so many days
_FRESH_WEIGHT = 1.0  # of one log of popularity


@dataclass(frozen=True)
class Version:
    """A champion, opened; `arrival` is the last row of the log that its catalogue has taken in."""

    champion: Champion
    recommender: BundleRecommender
    newcomers: NewcomerRecommender
    catalogue: Catalogue
    encoding: Encoding
    arrival: int

    @classmethod
    def open(cls, config: Config, champion: Champion, log: EventLog) -> Self:
        """Open a champion's files after checking every hash, that they belong together, and that they give a list.

        Raises StorageError when one is missing, damaged or of another version.
        """
        recommender = BundleRecommender.open(champion.bundle, champion.index, threads=config.service.threads)
        catalogue = Catalogue(recommender)
        arrival = log.last()
        for logged in log.items(arrival):
            catalogue.change(logged.row)
        encoding = encoding_for(recommender, config)
        newcomers = NewcomerRecommender(recommender, config.onboarding)
        version = cls(champion, recommender, newcomers, catalogue, encoding, arrival)
        version.warm()
        return version

    @property
    def name(self) -> str:
        """What answers call the version: its number and the start of its digest."""
        return f"{self.champion.version}-{self.champion.digest[:8]}"

    @property
    def weights(self) -> dict[str, float]:
        """The weights of the components that make a score."""
        blend = self.recommender.bundle.blend
        return blend.blend.weights if blend else {TOWER: 1.0}

    @property
    def columns(self) -> list[str]:
        """The demographics that the version knows."""
        return list(self.recommender.bundle.dataset.spec.demographic_vocabs)

    def warm(self) -> None:
        """Make a list, so that the first request finds everything read."""
        second = self.recommender.last_second() + 1
        self.recommender.lister.lists([Ask(None, 10, second)])
        self.popular(10, second, Filters(), set())

    def popular(self, k: int, second: int, filters: Filters, hidden: set[str]) -> list[tuple[str, str, float]]:
        """Return id, title and score of the k most popular and freshest items, for nobody in particular."""
        lister, catalogue = self.recommender.lister, self.catalogue
        scores = lister.log_popularity + _freshness(lister.published, second)
        allowed = lister.available(second)
        if (eligible := catalogue.eligible(filters, second)) is not None:
            allowed &= eligible
        allowed[[catalogue.places[item] for item in hidden if item in catalogue.places]] = False
        rows, values = best(scores, k, allowed)
        found = [
            (catalogue.ids[row], catalogue.titles[row], float(value)) for row, value in zip(rows, values, strict=True)
        ]
        for each in catalogue.newcomers:
            if each.item.item_id not in hidden and each.may_be_listed(second, filters):
                at = np.array([each.item.published_at.timestamp() if each.item.published_at else 0])
                found.append((each.item.item_id, each.item.title or "", float(_freshness(at, second)[0])))
        return sorted(found, key=lambda one: -one[2])[:k]


def _freshness(published: NDArray[np.generic], second: int) -> NDArray[np.float64]:
    days = np.maximum(second - np.asarray(published, np.float64), 0.0) / 86_400
    result: NDArray[np.float64] = np.where(np.asarray(published) > 0, _FRESH_WEIGHT * 0.5 ** (days / _FRESH_DAYS), 0.0)
    return result
