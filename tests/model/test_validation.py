import math

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from recsys.model.validation import ndcg_at_k


def _one_row(*places: int, width: int = 5) -> csr_matrix:
    row = np.zeros((1, width), bool)
    row[0, list(places)] = True
    return csr_matrix(row)


_SCORES = np.array([[5.0], [4.0], [3.0], [2.0], [1.0]], np.float32)
_USER = np.ones((1, 1), np.float32)


def test_ndcg_of_hits_at_ranks_one_and_three() -> None:
    value = ndcg_at_k(_USER, _SCORES, _one_row(0, 2), _one_row(), k=3)
    assert value == pytest.approx((1 + 0.5) / (1 + 1 / math.log2(3)))


def test_ndcg_masks_seen_items() -> None:
    assert ndcg_at_k(_USER, _SCORES, _one_row(1), _one_row(0), k=1) == 1.0


def test_ndcg_is_nan_without_relevant_items() -> None:
    assert math.isnan(ndcg_at_k(_USER, _SCORES, _one_row(), _one_row(), k=3))


def test_ndcg_of_a_catalogue_smaller_than_k() -> None:
    assert ndcg_at_k(_USER, _SCORES[:1], _one_row(0, width=1), _one_row(width=1), k=10) == 1.0


@pytest.mark.parametrize("n_items", [5119, 5120, 6001])  # around where only runs of columns with high maxima are ranked
def test_ndcg_of_a_large_catalogue_equals_that_of_a_full_sort(n_items: int) -> None:
    generator = np.random.default_rng(n_items)
    queries, items = (generator.normal(size=(n, 4)).astype(np.float32) for n in (9, n_items))
    scores = queries @ items.T
    best = np.argsort(-scores, axis=1)[:, :40]
    relevant, seen = np.zeros((2, 9, n_items), bool)
    np.put_along_axis(seen, best[:, :7:2], values=True, axis=1)
    np.put_along_axis(relevant, best[:, 1::6], values=True, axis=1)
    relevant[:, -1] = True
    scores[seen] = -np.inf
    hits = np.take_along_axis(relevant, np.argsort(-scores, axis=1)[:, :10], axis=1)
    gains = 1.0 / np.log2(np.arange(2, 12))
    ideal = np.cumsum(gains)[np.minimum((relevant & ~seen).sum(axis=1), 10) - 1]
    value = ndcg_at_k(queries, items, csr_matrix(relevant & ~seen), csr_matrix(seen))
    assert value == pytest.approx(float((hits @ gains / ideal).mean()))
