"""Why an item is recommended, said only where it is true."""

import numpy as np
from numpy.typing import NDArray

from recsys.registry import Bundle
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
    """Explains a bundle's items to users."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._dataset = bundle.dataset
        self._vectors = bundle.towers.item_vectors

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
        told = self._bundle.label_counts
        overall = told.overall
        share = overall[row] / max(overall.sum(), 1)
        best, words = 1.0, ""
        for place, (name, vocabulary) in enumerate(self._dataset.spec.demographic_vocabs.items()):
            if not labels[place]:
                continue
            counts, totals = told.by_label[place], told.totals[place]
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


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    result: NDArray[np.float32] = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
    return result
