from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.features import Dataset
from recsys.model.examples import training_examples
from recsys.model.spectral import starting_vectors


def _halves(start: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return candidate and history vectors of 16 dimensions; one table stands for both."""
    return start[:, :16], start[:, -16:]


def test_items_of_one_taste_start_together(world: Dataset) -> None:
    groups = np.arange(len(world.items.ids)) % 4
    same = groups[:, None] == groups
    for task in ("next", "any"):
        candidates, past = _halves(starting_vectors(world, training_examples(world), task, 16, seed=0))  # type: ignore[arg-type]
        lengths = np.maximum(np.linalg.norm(candidates, axis=1), 1e-9)
        scores = past @ (candidates / lengths[:, None]).T
        np.fill_diagonal(scores, np.nan)
        assert np.nanmean(scores[same]) > 1.3 * np.nanmean(scores[~same])


def test_starts_are_reproducible_and_fill_the_rank_at_most(make: Callable[..., Dataset]) -> None:
    small = make(4, 5, 4)
    examples = training_examples(small)
    for task, width in (("any", 8), ("next", 16)):
        first, again = (starting_vectors(small, examples, task, 8, seed=0) for _ in range(2))  # type: ignore[arg-type]
        assert (first == again).all()
        assert np.isfinite(first).all() and first.shape == (5, width)
    assert (starting_vectors(small, examples, "any", 8, seed=0)[:, 3:-1] == 0).all()


def test_ordered_candidates_are_of_one_length_beside_the_logarithm_of_their_popularity(world: Dataset) -> None:
    candidates, past = _halves(starting_vectors(world, training_examples(world), "later", 16, seed=0))
    known = candidates[:, -1] != 0
    assert np.allclose(np.linalg.norm(candidates[known, :-1], axis=1), 1, atol=1e-5)
    assert candidates[known, -1].mean() == pytest.approx(0, abs=1e-5)
    assert set(past[:, -1]) <= {0.0, 1.0}


def test_the_table_of_both_starts_at_a_mean_length_of_one_beside_popularity(world: Dataset) -> None:
    table = starting_vectors(world, training_examples(world), "any", 16, seed=0)
    known = world.items.train_count > 0
    assert np.linalg.norm(table[known, :-1], axis=1).mean() == pytest.approx(1, abs=1e-5)
    assert table[known, -1].mean() == pytest.approx(0, abs=1e-5)
    assert not table[~known].any()
