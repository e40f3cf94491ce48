"""A sample of the lists that were judged, so that serving can be held to them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from recsys.errors import StorageError
from recsys.features import Heldout
from recsys.scoring.recommender import ScoredRecommender

SAMPLE_FILE = "lists.npz"
_N_USERS = 100  # of those with a history, and as many without


@dataclass(frozen=True)
class ListSample:
    """Requests and what was ranked for them: `user_rows` int32[n], their `query_time` (seconds), `device` codes,
    `items` int32[n, k] item rows, -1 as padding, and `scores` float64[n, k], NaN there.
    """

    user_rows: NDArray[np.int32]
    query_time: NDArray[np.int64]
    device: NDArray[np.int32]
    items: NDArray[np.int32]
    scores: NDArray[np.float64]

    def save(self, folder: Path) -> None:
        """Write one `.npz` file."""
        np.savez(folder / SAMPLE_FILE, allow_pickle=False, **vars(self))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; raise StorageError when it is missing or damaged."""
        try:
            with np.load(folder / SAMPLE_FILE) as arrays:
                return cls(**{name: arrays[name] for name in arrays.files})
        except (OSError, EOFError, ValueError, TypeError) as error:
            raise StorageError(f"cannot read the judged lists: {error}; run the evaluation stage again") from error


def sample_lists(recommender: ScoredRecommender, users: Heldout, k: int) -> ListSample:
    """Rank for evenly chosen users with a history, and for as many newcomers."""
    new = np.diff(users.seen.indptr) == 0
    rows = np.sort(np.concatenate([_even(np.flatnonzero(mask)) for mask in (~new, new)]))
    chosen = users.take(rows)
    items, scores = recommender.ranked(chosen, k)
    return ListSample(
        np.asarray(chosen.user_rows), np.asarray(chosen.query_time), np.asarray(chosen.device), items, scores
    )


def _even(rows: NDArray[np.intp]) -> NDArray[np.intp]:
    return (
        rows[np.unique(np.linspace(0, len(rows) - 1, min(_N_USERS, len(rows))).astype(np.int64))] if len(rows) else rows
    )
