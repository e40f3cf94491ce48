"""Annoy: a forest of random projections in one file that is mapped into memory and shared by all processes.

Its dot metric reduces inner products to angles by one extra dimension (Bachrach et al., RecSys 2014).
"""

from pathlib import Path
from typing import Self

import numpy as np
from annoy import AnnoyIndex as Forest
from numpy.typing import NDArray

from recsys.errors import StorageError
from recsys.index.protocol import padded


class AnnoyIndex:
    """A built forest; `search_k` is how many nodes a query inspects."""

    def __init__(self, forest: Forest, dim: int, search_k: int) -> None:
        self._forest = forest
        self.dim = dim
        self.search_k = search_k
        self.n_items = int(forest.get_n_items())

    @classmethod
    def build(cls, item_vectors: NDArray[np.float32], path: Path, n_trees: int, seed: int) -> Self:
        """Build a forest of item vectors [N, D] into a file."""
        forest = Forest(item_vectors.shape[1], "dot")
        forest.set_seed(seed)
        for row, vector in enumerate(item_vectors):
            forest.add_item(row, vector)
        forest.build(n_trees, n_jobs=1)  # one thread: the same input gives the same file
        forest.save(str(path))
        return cls(forest, item_vectors.shape[1], n_trees * 100)

    @classmethod
    def load(cls, path: Path, dim: int, search_k: int) -> Self:
        """Map a built forest into memory; raise StorageError when it cannot be read."""
        forest = Forest(dim, "dot")
        try:
            forest.load(str(path))
        except OSError as error:
            raise StorageError(f"cannot read the index {path}: {error}; export it again") from error
        return cls(forest, dim, search_k)

    def query(self, vectors: NDArray[np.float32], k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return about the k best rows and their scores; see `Index`."""
        cut = min(k, self.n_items)
        rows = np.full((len(vectors), cut), -1, np.int32)
        scores = np.full((len(vectors), cut), -np.inf, np.float32)
        for place, vector in enumerate(vectors):
            found, values = self._forest.get_nns_by_vector(vector, cut, self.search_k, include_distances=True)
            rows[place, : len(found)], scores[place, : len(found)] = found, values
        return padded(rows, scores, k)
