import doctest

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from recsys.monitoring import statistics

COUNTS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=8)


def test_worked_examples_in_docstrings_hold() -> None:
    result = doctest.testmod(statistics)
    assert result.attempted > 4
    assert result.failed == 0


def test_psi_by_hand() -> None:
    # shares with the prior: (9.5, 0.5) / 10 against (0.5, 9.5) / 10: two times 0.9 ln 19
    assert statistics.psi(np.array([9, 0]), np.array([0, 9])) == pytest.approx(2 * 0.9 * np.log(19))


def test_jensen_shannon_by_hand() -> None:
    # shares (3/4, 1/4) and (1/4, 3/4): H(mean) = 1, H of each = 0.811278
    value = statistics.jensen_shannon(np.array([3, 1]), np.array([1, 3]))
    assert value**2 == pytest.approx(1 - 0.8112781244591328)


def test_kolmogorov_smirnov_leaves_missing_values_out() -> None:
    assert statistics.kolmogorov_smirnov(np.array([1.0, np.nan, 2.0]), np.array([3.0, 4.0])) == 1.0


def test_the_distance_to_an_empty_side_is_unknown() -> None:
    empty = np.zeros(2, np.int64)
    assert np.isnan(statistics.psi(empty, np.array([1, 2])))
    assert np.isnan(statistics.jensen_shannon(np.array([1, 2]), empty))
    assert np.isnan(statistics.kolmogorov_smirnov(np.array([]), np.array([1.0])))
    assert np.isnan(statistics.cosine_distance(np.zeros(2), np.ones(2)))


def test_histograms_of_other_bins_are_refused() -> None:
    with pytest.raises(ValueError, match="same bins"):
        statistics.psi(np.array([1, 2]), np.array([1]))
    with pytest.raises(ValueError, match=">= 0"):
        statistics.jensen_shannon(np.array([-1, 2]), np.array([1, 1]))


@given(COUNTS, st.randoms(use_true_random=False))
def test_psi_and_jensen_shannon_are_symmetric_bounded_and_ignore_the_order_of_bins(
    counts: list[tuple[int, int]], random: object
) -> None:
    a, b = np.array(counts).T
    assume(a.any() and b.any())
    shuffled = list(counts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    c, d = np.array(shuffled).T
    for distance in (statistics.psi, statistics.jensen_shannon):
        assert distance(a, b) >= 0
        assert distance(a, b) == pytest.approx(distance(b, a), abs=1e-9)
        assert distance(a, b) == pytest.approx(distance(c, d), abs=1e-7)
        assert distance(a, a) == pytest.approx(0, abs=1e-7)
    assert statistics.jensen_shannon(a, b) <= 1 + 1e-12
