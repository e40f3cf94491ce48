"""Annoy: a forest of random projections in one file that is mapped into memory and shared by all processes.

Its dot metric reduces inner products to angles by one extra dimension (Bachrach et al., RecSys 2014).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from recsys.errors import ConfigError, StorageError
from recsys.index.protocol import padded

if TYPE_CHECKING:
    from annoy import AnnoyIndex as Forest


class AnnoyIndex:
    """A built forest; `search_k` is how many nodes a query for `gated_k` items inspects, more for more items."""

    def __init__(self, forest: "Forest", dim: int, search_k: int, gated_k: int = 0) -> None:
        self._forest = forest
        self.dim = dim
        self.search_k, self.gated_k = search_k, gated_k
        self.n_items = int(forest.get_n_items())

    @classmethod
    def build(cls, item_vectors: NDArray[np.float32], path: Path, n_trees: int, seed: int) -> Self:
        """Build a forest of item vectors [N, D] into a file; raise StorageError when it cannot be written."""
        forest = _forest(item_vectors.shape[1])
        forest.set_seed(seed)
        for row, vector in enumerate(item_vectors):
            forest.add_item(row, vector)
        forest.build(n_trees, n_jobs=1)  # one thread: the same input gives the same file
        try:
            forest.save(str(path))
        except OSError as error:
            raise StorageError(f"cannot write the index {path}: {error}; free space or fix its permissions") from error
        return cls(forest, item_vectors.shape[1], n_trees * 100)

    @classmethod
    def load(cls, path: Path, dim: int, search_k: int, gated_k: int = 0) -> Self:
        """Map a built forest into memory; raise StorageError when it cannot be read."""
        forest = _forest(dim)
        try:
            forest.load(str(path))
        except OSError as error:
            raise StorageError(f"cannot read the index {path}: {error}; export it again") from error
        return cls(forest, dim, search_k, gated_k)

    def query(self, vectors: NDArray[np.float32], k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return about the k best rows and their scores; see `Index`."""
        cut = min(k, self.n_items)
        rows = np.full((len(vectors), cut), -1, np.int32)
        scores = np.full((len(vectors), cut), -np.inf, np.float32)
        deeper = -(-cut // self.gated_k) if self.gated_k else 1
        for place, vector in enumerate(vectors):
            found, values = self._forest.get_nns_by_vector(vector, cut, self.search_k * deeper, include_distances=True)
            order = np.lexsort((np.asarray(found), -np.asarray(values)))  # Annoy leaves the order of equal scores open
            rows[place, : len(found)] = np.asarray(found)[order]
            scores[place, : len(found)] = np.asarray(values)[order]
        return padded(rows, scores, k)


def _forest(dim: int) -> "Forest":
    try:
        from annoy import AnnoyIndex as Forest
    except ImportError as error:
        raise ConfigError(
            "annoy is not installed; it is built from source: install a C++ compiler (apt-get install g++), "
            "then run `make setup`"
        ) from error
    return Forest(dim, "dot")
