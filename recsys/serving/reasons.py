"""Why an item is recommended, said only where it is true."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

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
    """Explains items to users; counts of items by demographic label are made once, on the first newcomer.

    `item_vectors` [n_items, D] are kept as they are.
    """

    def __init__(self, dataset: Dataset, item_vectors: NDArray[np.float32]) -> None:
        self._dataset = dataset
        self._vectors = item_vectors

    def explain(self, asker: Asker, row: int) -> str:
        """Return one sentence for an item row: the nearest item of the history, or what people alike turn to."""
        if len(asker.positives):
            return self._nearest(asker, row)
        return self._popular_with(asker.dataset.users.demographics[0], row)

    def _nearest(self, asker: Asker, row: int) -> str:
        similarity = _unit(self._vectors[asker.positives]) @ _unit(self._vectors[row])
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
            counts, totals = self._counts[place]
            count = counts[labels[place], row]
            lift = count / max(totals[labels[place]], 1) / share if share else 0.0
            if count >= _MIN_COUNT and lift > best:
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
    def _counts(self) -> list[tuple[csr_array, NDArray[np.int64]]]:
        """For each demographic column positive events by label and item, int32[1 + n_labels, n_items], and by label."""
        events, users = self._dataset.events, self._dataset.users
        positive = np.asarray(events.positive)
        owner = np.repeat(np.arange(len(users.ids)), np.diff(events.offsets))[positive]
        items = events.item[positive]
        result = []
        for place, vocabulary in enumerate(self._dataset.spec.demographic_vocabs.values()):
            shape = (len(vocabulary) + 1, len(self._dataset.items.ids))
            labels = np.asarray(users.demographics)[owner, place]
            counts = csr_array((np.ones(len(items), np.int32), (labels, items)), shape=shape)
            result.append((counts, np.bincount(labels, minlength=shape[0]).astype(np.int64)))
        return result


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    result: NDArray[np.float32] = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
    return result
