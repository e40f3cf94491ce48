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
