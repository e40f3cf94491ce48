"""What items are about, as vectors: for the diversity of lists and for re-ranking."""

import numpy as np
from numpy.typing import NDArray

from recsys.features.dataset import Dataset

_CATEGORY_BUCKETS = 256  # category codes share this many columns: bounds memory, collisions are rare


def content_vectors(dataset: Dataset, rows: NDArray[np.integer] | None = None) -> NDArray[np.float32]:
    """Return float32[n, d]: the unit text vector of each item beside its unit category vector.

    `rows` int[n] are the items, by default all of them in order. Columns for categories are those the items have, so
    that vectors of one call compare with each other and not with those of another.
    """
    chosen = slice(None) if rows is None else rows
    categories, text = np.asarray(dataset.items.categories)[chosen], np.asarray(dataset.items.text)[chosen]
    items, columns = np.nonzero(categories)
    buckets, places = np.unique(categories[items, columns] % _CATEGORY_BUCKETS, return_inverse=True)
    n_text = text.shape[1]
    vectors = np.zeros((len(text), n_text + len(buckets)), np.float32)
    vectors[:, :n_text] = text
    vectors[items, n_text + places] = 1.0
    for part in (vectors[:, :n_text], vectors[:, n_text:]):
        norms = np.linalg.norm(part, axis=1, keepdims=True)
        np.divide(part, norms, out=part, where=norms > 0)
    return vectors
