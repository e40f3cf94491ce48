"""What every index answers."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Index(Protocol):
    """Finds the items of greatest dot product."""

    n_items: int
    dim: int

    def query(self, vectors: NDArray[np.float32], k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return item rows int32[n, k] and scores float32[n, k] of query vectors [n, D], best first.

        When the index holds fewer than k items the rest is row -1 with score -inf.
        """
        ...


def padded(
    rows: NDArray[np.int32], scores: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Fill up to k columns with row -1 and score -inf."""
    lacking = ((0, 0), (0, max(k - rows.shape[1], 0)))
    return np.pad(rows, lacking, constant_values=-1), np.pad(scores, lacking, constant_values=-np.inf)
