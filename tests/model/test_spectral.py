from collections.abc import Callable

import numpy as np
import pytest

from recsys.features import Dataset
from recsys.model.examples import training_examples
from recsys.model.spectral import starting_vectors


def test_items_of_one_taste_start_together(world: Dataset) -> None:
    groups = np.arange(len(world.items.ids)) % 4
    same = groups[:, None] == groups
    for task in ("next", "any"):
        candidates, past = starting_vectors(world, training_examples(world), task, 16, seed=0)  # type: ignore[arg-type]
        lengths = np.maximum(np.linalg.norm(candidates, axis=1), 1e-9)
        scores = past @ (candidates / lengths[:, None]).T
        np.fill_diagonal(scores, np.nan)
        assert np.nanmean(scores[same]) > 1.3 * np.nanmean(scores[~same])


def test_starts_are_reproducible_and_fill_the_rank_at_most(make: Callable[..., Dataset]) -> None:
    small = make(4, 5, 4)
    examples = training_examples(small)
    first, again = (starting_vectors(small, examples, "any", 8, seed=0) for _ in range(2))
    assert (first[0] == again[0]).all()
    assert (first[1] == again[1]).all()
    assert np.isfinite(first[0]).all() and first[0].shape == (5, 8)
    assert (first[0][:, 3:-1] == 0).all()


def test_candidates_are_of_one_length_beside_the_logarithm_of_their_popularity(world: Dataset) -> None:
    for task in ("later", "any"):
        candidates, past = starting_vectors(world, training_examples(world), task, 16, seed=0)  # type: ignore[arg-type]
        known = candidates[:, -1] != 0
        assert np.allclose(np.linalg.norm(candidates[known, :-1], axis=1), 1, atol=1e-5)
        assert candidates[known, -1].mean() == pytest.approx(0, abs=1e-5)
        assert set(past[:, -1]) <= {0.0, 1.0}
