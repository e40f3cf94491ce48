"""What every index promises: the k items with the highest dot product."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Index(Protocol):
    """Finds items by the dot product of a query vector and their vectors."""

    @property
    def n_items(self) -> int:
        """How many items can be found."""
        ...

    def query(
        self, vectors: NDArray[np.float32], k: int, search_k: int | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return item rows int32[n, k] and scores float32[n, k] of query vectors [n, D], best first.

        Equal scores come in row order; where items ran out, rows are -1 and scores -inf. `search_k` is how many nodes
        an approximate index may look at; an exact one ignores it.
        """
        ...


def check_query(vectors: NDArray[np.float32], k: int, dim: int) -> None:
    """Raise ValueError when vectors are not [n, dim] or k is below 1."""
    if vectors.ndim != 2 or vectors.shape[1] != dim:
        raise ValueError(f"vectors must have shape [n, {dim}]; got {list(vectors.shape)}")
    if k < 1:
        raise ValueError(f"k must be >= 1; got {k}")
