"""Golden numbers from the published definitions, hand-worked cases, and laws."""

import doctest
import importlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.evaluation import metrics

# Users 1 to 4 of the examples in RecTools' `MAP` and `NDCG` docstrings (MobileTeleSystems/RecTools, ranking.py):
# hits by rank, and how many items are relevant.
HITS = np.array([[False, False, False], [True, False, False], [True, False, True], [True, True, True]])
RELEVANT = np.array([2, 1, 3, 3])


@pytest.mark.parametrize(
    "module", ["evaluation.metrics", "evaluation.lists", "evaluation.significance", "scoring.topk"]
)
def test_worked_examples_in_docstrings_hold(module: str) -> None:
    result = doctest.testmod(importlib.import_module(f"recsys.{module}"))
    assert result.attempted > 0
    assert result.failed == 0


def test_map_agrees_with_rectools_published_example() -> None:
    assert metrics.map_at_k(HITS, RELEVANT) == pytest.approx([0.0, 1.0, 0.55555556, 1.0], abs=1e-8)


def test_ndcg_agrees_with_rectools_published_example_where_k_items_are_relevant() -> None:
    assert metrics.ndcg_at_k(HITS, RELEVANT)[[0, 2, 3]] == pytest.approx([0.0, 0.70391809, 1.0], abs=1e-8)


def test_ndcg_is_cut_at_the_relevant_items_as_in_lenskit() -> None:
    # LensKit NDCG(n=3): ideal = fixed_dcg(min(n, len(test))); RecTools divides by the ideal of k: 0.46927873.
    assert metrics.ndcg_at_k(HITS, RELEVANT)[1] == 1.0


def test_ndcg_discounts_rank_one_fully_and_rank_two_by_log2_of_three() -> None:
    # LensKit's default LogRankWeight has offset 0 and leaves rank 2 undiscounted; ours is offset 1.
    hits = np.array([[False, True]])
    assert metrics.ndcg_at_k(hits, np.array([1]))[0] == pytest.approx(1 / np.log2(3), abs=1e-12)


def test_recall_divides_by_the_smaller_of_k_and_relevant_as_in_lenskit() -> None:
    assert metrics.recall_at_k(HITS, np.array([2, 1, 10, 3])) == pytest.approx([0, 1, 2 / 3, 1])


def test_precision_mrr_and_hit_rate_by_hand() -> None:
    hits = np.array([[False, True, False, True], [False] * 4])
    relevant = np.array([3, 3])
    assert metrics.precision_at_k(hits, relevant).tolist() == [0.5, 0.0]
    assert metrics.mrr_at_k(hits, relevant).tolist() == [0.5, 0.0]
    assert metrics.hit_rate_at_k(hits, relevant).tolist() == [1.0, 0.0]
    assert metrics.map_at_k(hits, relevant).tolist() == pytest.approx([(1 / 2 + 2 / 4) / 3, 0.0])


@pytest.mark.parametrize("name", list(metrics.ACCURACY))
def test_users_without_relevant_items_are_left_out_and_counted(name: str) -> None:
    values = metrics.ACCURACY[name](np.array([[True, True], [False, False]]), np.array([2, 0]))
    assert np.isnan(values[1])
    assert metrics.average(values) == 1.0
    assert metrics.n_measured(values) == 1


def test_average_of_nobody_is_zero() -> None:
    assert metrics.average(np.array([np.nan])) == 0.0


@pytest.mark.parametrize("name", list(metrics.ACCURACY))
def test_wrong_shapes_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="hits must be"):
        metrics.ACCURACY[name](np.zeros((2, 0), bool), np.array([1, 1]))
    with pytest.raises(ValueError, match="n_relevant must have shape"):
        metrics.ACCURACY[name](np.zeros((2, 3), bool), np.array([1]))


@st.composite
def ranked(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    n_users, k = draw(st.integers(1, 6)), draw(st.integers(1, 8))
    hits = np.array(draw(st.lists(st.lists(st.booleans(), min_size=k, max_size=k), min_size=n_users, max_size=n_users)))
    extra = np.array(draw(st.lists(st.integers(0, 5), min_size=n_users, max_size=n_users)))
    return hits, hits.sum(axis=1) + extra


@given(ranked(), st.sampled_from(sorted(metrics.ACCURACY)))
def test_metrics_lie_between_zero_and_one(case: tuple[np.ndarray, np.ndarray], name: str) -> None:
    values = metrics.ACCURACY[name](*case)
    measured = values[~np.isnan(values)]
    assert ((measured >= 0) & (measured <= 1 + 1e-12)).all()
    assert np.isnan(values).tolist() == (case[1] == 0).tolist()


@given(ranked(), st.sampled_from(sorted(metrics.ACCURACY)), st.randoms(use_true_random=False))
def test_permuting_users_permutes_their_values(case: tuple[np.ndarray, np.ndarray], name: str, random: object) -> None:
    order = list(range(len(case[1])))
    random.shuffle(order)  # type: ignore[attr-defined]
    permuted = metrics.ACCURACY[name](case[0][order], case[1][order])
    assert np.array_equal(permuted, metrics.ACCURACY[name](*case)[order], equal_nan=True)


@given(ranked(), st.randoms(use_true_random=False))
def test_recall_precision_and_hit_rate_ignore_the_order_of_the_list(
    case: tuple[np.ndarray, np.ndarray], random: object
) -> None:
    order = list(range(case[0].shape[1]))
    random.shuffle(order)  # type: ignore[attr-defined]
    for name in ("recall", "precision", "hit_rate"):
        function = metrics.ACCURACY[name]
        assert np.array_equal(function(case[0][:, order], case[1]), function(*case), equal_nan=True)


@given(ranked())
def test_moving_a_hit_up_never_lowers_a_ranked_metric(case: tuple[np.ndarray, np.ndarray]) -> None:
    best = -np.sort(-case[0].astype(int), axis=1) > 0
    for name in ("ndcg", "map", "mrr"):
        better, given_ = (metrics.ACCURACY[name](best, case[1]), metrics.ACCURACY[name](*case))
        assert (better >= given_ - 1e-12)[case[1] > 0].all()


@given(ranked())
def test_ndcg_matches_a_plain_loop(case: tuple[np.ndarray, np.ndarray]) -> None:
    hits, relevant = case
    for row, value in enumerate(metrics.ndcg_at_k(hits, relevant)):
        if relevant[row]:
            gained = sum(1 / np.log2(rank + 1) for rank, hit in enumerate(hits[row], 1) if hit)
            ideal = sum(1 / np.log2(rank + 1) for rank in range(1, min(hits.shape[1], relevant[row]) + 1))
            assert value == pytest.approx(gained / ideal, abs=1e-12)
