"""What there is to list, now: a version's items as the log has changed them since, and items that came after training.

An item that came later stands where its ten nearest stand, by the vector that the item tower makes of its content
(Schein et al. 2002 call such items cold).
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.eventlog import Item
from recsys.features import encode_items
from recsys.schema import CATEGORIES, CREATOR, ITEM_ID, ITEMS, LANGUAGE
from recsys.service.requests import Filters
from recsys.serving import BundleRecommender

_NEAREST: Final = 10
_DAY_S: Final = 86_400
_LATEST: Final = 2**62  # seconds: an item without an end

Rows = NDArray[np.int32]


@dataclass(frozen=True)
class Newcomer:
    """An item that came after training: what is known of it, and the rows of its nearest items [10]."""

    item: Item
    vector: NDArray[np.float32]
    nearest: Rows

    def may_be_listed(self, second: int, filters: Filters) -> bool:
        """Tell whether it is there at a second since 1970 and passes the filters."""
        item = self.item
        published = int(item.published_at.timestamp()) if item.published_at else 0
        expires = int(item.expires_at.timestamp()) if item.expires_at else _LATEST
        fresh = filters.max_age_days is None or (published and second - published <= filters.max_age_days * _DAY_S)
        return bool(
            published <= second < expires
            and fresh
            and (not filters.categories or set(filters.categories) & set(item.categories or ()))
            and (not filters.languages or item.language in filters.languages)
            and (not filters.creators or item.creator in filters.creators)
        )


@dataclass
class _Labels:
    """Rows by label of one column."""

    rows: dict[str, Rows] = field(default_factory=dict)

    @classmethod
    def of(cls, values: pl.Series) -> "_Labels":
        table = pl.DataFrame({"label": values}).with_row_index("row")
        if isinstance(values.dtype, pl.List):
            table = table.explode("label")
        found = table.drop_nulls("label").group_by("label").agg("row")
        return cls({str(label): np.array(rows, np.int32) for label, rows in found.iter_rows()})

    def any_of(self, labels: Iterable[str], n: int) -> NDArray[np.bool_]:
        chosen = np.zeros(n, bool)
        for label in labels:
            if label in self.rows:
                chosen[self.rows[label]] = True
        return chosen


class Catalogue:
    """The items of one version. Changes count from the next request on; they may come from another thread."""

    def __init__(self, recommender: BundleRecommender) -> None:
        self._recommender = recommender
        self._lock = threading.Lock()
        dataset = recommender.bundle.dataset
        self.ids, self.titles = dataset.items.ids, dataset.items.titles
        self.places = recommender.places
        self.n_items = len(self.ids)
        frame = dataset.items_frame
        self._categories, self._languages, self._creators = (
            _Labels.of(frame[name]) for name in (CATEGORIES, LANGUAGE, CREATOR)
        )
        self._gone = np.zeros(self.n_items, bool)
        self._newcomers: dict[str, Newcomer] = {}
        unit = np.asarray(recommender.bundle.towers.item_vectors, np.float32)
        self._unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-9)

    @property
    def newcomers(self) -> list[Newcomer]:
        """The items that came after training."""
        return list(self._newcomers.values())

    @property
    def n_changed(self) -> int:
        """How many items were changed, removed or added since the version was trained."""
        return int(self._gone.sum()) + len(self._newcomers)

    def title(self, item_id: str) -> str:
        """Return an item's title, empty for an unknown one."""
        if (newcomer := self._newcomers.get(item_id)) is not None:
            return newcomer.item.title or ""
        row = self.places.get(item_id)
        return "" if row is None else self.titles[row]

    def is_there(self, item_id: str) -> bool:
        """Tell whether an item is known and was not removed."""
        row = self.places.get(item_id)
        return item_id in self._newcomers or (row is not None and not self._gone[row])

    def change(self, item: Item) -> None:
        """Take in what the log says of an item."""
        with self._lock:
            row = self.places.get(item.item_id)
            if row is not None:
                self._gone[row] = item.deleted
                if not item.deleted:
                    self._recommender.lister.reschedule(row, _second(item.published_at), _second(item.expires_at))
            elif item.deleted:
                self._newcomers = {name: each for name, each in self._newcomers.items() if name != item.item_id}
            else:
                self._newcomers = {**self._newcomers, item.item_id: self._newcomer(item)}

    def may_be_listed(self, item_id: str, eligible: NDArray[np.bool_] | None, filters: Filters, second: int) -> bool:
        """Tell whether an item is there at a second since 1970 and passes the filters, which left `eligible`."""
        if (newcomer := self._newcomers.get(item_id)) is not None:
            return newcomer.may_be_listed(second, filters)
        row = self.places.get(item_id)
        if row is None or not self._recommender.lister.available(second)[row]:
            return False
        return bool(not self._gone[row] if eligible is None else eligible[row])

    def eligible(self, filters: Filters, second: int) -> NDArray[np.bool_] | None:
        """Return bool[n_items]: what filters and removals leave; None where that is everything."""
        chosen = ~self._gone if self._gone.any() else None
        for labels, table in (
            (filters.categories, self._categories),
            (filters.languages, self._languages),
            (filters.creators, self._creators),
        ):
            if labels:
                own = table.any_of(labels, self.n_items)
                chosen = own if chosen is None else chosen & own
        if filters.max_age_days is not None:
            published = self._recommender.lister.published
            own = (published > 0) & (second - published <= filters.max_age_days * _DAY_S)
            chosen = own if chosen is None else chosen & own
        return chosen

    def similar(self, item_id: str, k: int, second: int) -> list[tuple[str, str, float]]:
        """Return id, title and cosine of the k nearest items that may be listed."""
        newcomer, row = self._newcomers.get(item_id), self.places.get(item_id)
        own = _unit(newcomer.vector) if newcomer is not None else self._unit[row if row is not None else 0]
        likeness = self._unit @ own
        there = self._recommender.lister.available(second) & ~self._gone
        if row is not None:
            there[row] = False
        places = np.flatnonzero(there)
        best = places[np.argsort(-likeness[places], kind="stable")[:k]]
        found = [(self.ids[place], self.titles[place], float(likeness[place])) for place in best]
        found += [
            (name, each.item.title or "", float(_unit(each.vector) @ own))
            for name, each in self._newcomers.items()
            if name != item_id and each.may_be_listed(second, Filters())
        ]
        return sorted(found, key=lambda each: -each[2])[:k]

    def _newcomer(self, item: Item) -> Newcomer:
        dataset, towers = self._recommender.bundle.dataset, self._recommender.bundle.towers
        told = {
            ITEM_ID: item.item_id,
            **{name: getattr(item, name) for name in ITEMS if name != ITEM_ID and hasattr(item, name)},
        }
        told[CATEGORIES] = list(item.categories or ())
        frame = pl.DataFrame([told], schema=ITEMS)
        vector = towers.encode_rows(encode_items(dataset.spec, dataset.text_model, frame), slice(0, 1))[0, : towers.dim]
        nearest = np.argsort(-(self._unit @ _unit(vector)), kind="stable")[:_NEAREST]
        return Newcomer(item, vector, nearest.astype(np.int32))


def _second(time: datetime | None) -> int:
    return int(time.timestamp()) if time else 0


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    result: NDArray[np.float32] = vector / max(float(np.linalg.norm(vector)), 1e-9)
    return result
