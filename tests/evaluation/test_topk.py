import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from recsys.errors import RecsysError
from recsys.scoring import topk


def _brute(scores: np.ndarray, allowed: np.ndarray, k: int) -> list[list[int]]:
    result = []
    for row, mask in zip(scores, allowed, strict=True):
        best = sorted((c for c in range(len(row)) if mask[c]), key=lambda c: (-row[c], c))[:k]
        result.append(best + [-1] * (k - len(best)))
    return result


@given(
    st.integers(1, 5),
    st.integers(1, 9),
    st.integers(1, 12),
    st.integers(0, 2**31),
    st.sampled_from([2, 5, 10**6]),
    st.sampled_from([np.float32, np.float64]),
)
def test_top_k_matches_brute_force_with_ties_and_masks(
    n_users: int, n_items: int, k: int, seed: int, levels: int, kind: type
) -> None:
    generator = np.random.default_rng(seed)
    scores = generator.integers(-levels, levels, (n_users, n_items)).astype(kind)
    allowed = generator.random((n_users, n_items)) < 0.7
    assert topk.top_k(scores, k, allowed).tolist() == _brute(scores, allowed, k)


def test_ties_are_broken_by_item_order() -> None:
    assert topk.top_k(np.zeros((2, 4)), 3).tolist() == [[0, 1, 2]] * 2


def test_a_catalogue_smaller_than_k_is_padded() -> None:
    assert topk.top_k(np.array([[1.0, 2.0]]), 4).tolist() == [[1, 0, -1, -1]]


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused(wrong: float) -> None:
    with pytest.raises(RecsysError, match="1 of 2 are NaN or infinite"):
        topk.top_k(np.array([[1.0, wrong]]), 1)


def test_a_score_nobody_may_see_need_not_be_finite() -> None:
    assert topk.top_k(np.array([[1.0, np.nan]]), 1, np.array([[True, False]])).tolist() == [[0]]


def test_k_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="k must be >= 1; got 0"):
        topk.top_k(np.ones((1, 2)), 0)


def _rank(scores: np.ndarray, *, allow_constant: bool = False, **kwargs: object) -> np.ndarray:
    seen = kwargs.get("seen", csr_matrix(scores.shape, dtype=bool))
    recommendable = kwargs.get("recommendable", np.ones(scores.shape[1], bool))
    return topk.ranked_scores(
        lambda block: scores[block], seen, recommendable, 2, name="model", allow_constant=allow_constant
    )[0]


def test_blocks_give_the_same_ranking_as_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(1)
    scores, seen = (generator.random((11, 7)), csr_matrix(generator.random((11, 7)) < 0.4))
    whole = _rank(scores, seen=seen)
    monkeypatch.setattr(topk, "_BLOCK_CELLS", 14)
    assert _rank(scores, seen=seen).tolist() == whole.tolist() == _brute(scores, ~seen.toarray(), 2)


def test_seen_and_withdrawn_items_are_never_ranked() -> None:
    scores = np.array([[4.0, 3.0, 2.0, 1.0]])
    seen = csr_matrix(np.array([[True, False, False, False]]))
    assert _rank(scores, seen=seen, recommendable=np.array([True, False, True, True])).tolist() == [[2, 3]]


def test_a_model_with_constant_scores_is_a_fault_but_a_baseline_may_be_indifferent() -> None:
    with pytest.raises(RecsysError, match="model gives every item the same score"):
        _rank(np.ones((3, 4)))
    assert _rank(np.ones((3, 4)), allow_constant=True).tolist() == [[0, 1]] * 3
    assert _rank(np.ones((3, 1))).tolist() == [[0, -1]] * 3  # one item cannot be ranked otherwise
