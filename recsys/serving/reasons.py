"""Why an item is recommended, said only where it is true."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recsys.features import Dataset
from recsys.schema import EVENT_KINDS
from recsys.serving.requests import Asker

_DEEDS = {
    "view": "watched {}",
    "click": "opened {}",
    "like": "liked {}",
    "share": "shared {}",
    "save": "saved {}",
    "rating": "rated {}",
    "add_to_cart": "put {} in your cart",
    "purchase": "bought {}",
}
_MIN_COUNT = 3  # events of a group with an item below which "popular" would be said of an accident
_POPULAR_SHARE = 0.2  # the upper fifth of the catalogue counts as popular


class Reasons:
    """Explains items to users; counts of items by demographic label are made once, on the first newcomer."""

    def __init__(self, dataset: Dataset, item_vectors: NDArray[np.float32]) -> None:
        self._dataset = dataset
        norms = np.linalg.norm(item_vectors, axis=1, keepdims=True)
        self._unit = item_vectors / np.maximum(norms, 1e-9)

    def explain(self, asker: Asker, row: int) -> str:
        """Return one sentence for an item row: the nearest item of the history, or what people alike turn to."""
        if len(asker.positives):
            return self._nearest(asker, row)
        return self._popular_with(asker.dataset.users.demographics[0], row)

    def _nearest(self, asker: Asker, row: int) -> str:
        similarity = self._unit[asker.positives] @ self._unit[row]
        place = len(similarity) - 1 - int(np.argmax(similarity[::-1]))  # of equals, the most recent
        deed = _DEEDS.get(EVENT_KINDS[int(asker.kinds[place]) - 1], "chose {}")
        other = int(asker.positives[place])
        items = self._dataset.items
        return f"because you {deed.format(items.titles[other] or items.ids[other])}"

    def _popular_with(self, labels: NDArray[np.int32], row: int) -> str:
        """Name the label of the asker whose people turn to the item most beyond its share among everybody."""
        overall = self._counts_of_all
        share = overall[row] / max(overall.sum(), 1)
        best, words = 1.0, ""
        for place, (name, vocabulary) in enumerate(self._dataset.spec.demographic_vocabs.items()):
            if not labels[place]:
                continue
            counts = self._counts[place][labels[place]]
            lift = counts[row] / max(counts.sum(), 1) / share if share else 0.0
            if counts[row] >= _MIN_COUNT and lift > best:
                best, words = lift, f"popular with people like you: {name} {vocabulary[labels[place] - 1]}"
        if words:
            return words
        if overall[row] and overall[row] >= np.quantile(overall, 1 - _POPULAR_SHARE):
            return "popular with everybody"
        names = self._dataset.items.category_names[row].to_list()
        return f"to try something new: {', '.join(names)}" if names else "to try something new"

    @cached_property
    def _counts_of_all(self) -> NDArray[np.int64]:
        events = self._dataset.events
        items = events.item[np.asarray(events.positive)]
        return np.bincount(items, minlength=len(self._dataset.items.ids)).astype(np.int64)

    @cached_property
    def _counts(self) -> list[NDArray[np.int32]]:
        """One int32[1 + n_labels, n_items] per demographic column: positive events by label and item."""
        events, users = self._dataset.events, self._dataset.users
        positive = np.asarray(events.positive)
        owner = np.repeat(np.arange(len(users.ids)), np.diff(events.offsets))[positive]
        items = events.item[positive]
        result = []
        for place, vocabulary in enumerate(self._dataset.spec.demographic_vocabs.values()):
            counts = np.zeros((len(vocabulary) + 1, len(self._dataset.items.ids)), np.int32)
            np.add.at(counts, (users.demographics[owner, place], items), 1)
            result.append(counts)
        return result
