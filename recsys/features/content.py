"""What items are about, as vectors: for the diversity of lists and for re-ranking."""

import numpy as np
from numpy.typing import NDArray

from recsys.features.dataset import Dataset

_CATEGORY_BUCKETS = 256  # category codes share this many columns: bounds memory, collisions are rare


def content_vectors(dataset: Dataset) -> NDArray[np.float32]:
    """Return float32[n_items, d]: each item's unit text vector beside its unit category vector."""
    categories = np.asarray(dataset.items.categories)
    hot = np.zeros((categories.shape[0], _CATEGORY_BUCKETS), np.float32)
    rows, columns = np.nonzero(categories)
    hot[rows, categories[rows, columns] % _CATEGORY_BUCKETS] = 1.0
    hot = hot[:, hot.any(axis=0)]
    return np.hstack([_unit(np.asarray(dataset.items.text, np.float32)), _unit(hot)])


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    result: NDArray[np.float32] = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    return result
