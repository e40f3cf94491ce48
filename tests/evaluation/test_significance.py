import numpy as np
import pytest

from recsys.evaluation import interval, paired_bootstrap, significance


def test_pairing_sees_a_small_steady_gain_through_large_differences_between_users() -> None:
    base = np.random.default_rng(0).random(500)
    mean, low, high = paired_bootstrap(base + 0.01, base, 500, seed=1)
    assert (mean, low, high) == pytest.approx((0.01, 0.01, 0.01))


def test_no_difference_straddles_zero_and_swapping_sides_mirrors() -> None:
    generator = np.random.default_rng(2)
    a, b = generator.random(400), generator.random(400)
    mean, low, high = paired_bootstrap(a, b, 800, seed=3)
    assert low < 0 < high
    assert paired_bootstrap(b, a, 800, seed=3) == pytest.approx((-mean, -high, -low))


def test_interval_is_as_wide_as_the_normal_approximation() -> None:
    values = np.random.default_rng(4).normal(size=2000)
    low, high = interval(values, 2000, seed=5)
    assert high - low == pytest.approx(2 * 1.96 / np.sqrt(2000), rel=0.1)


def test_blocks_do_not_change_the_count_and_equal_seeds_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.arange(10.0)
    monkeypatch.setattr(significance, "_BLOCK_CELLS", 25)
    assert significance.bootstrap_means(values, 7, 0).shape == (7,)
    assert interval(values, 100, 0) == interval(values, 100, 0)


def test_users_missing_on_either_side_are_left_out() -> None:
    assert paired_bootstrap(np.array([1.0, np.nan, 5.0]), np.array([0.0, 1.0, np.nan]), 10, 0) == (1.0, 1.0, 1.0)


def test_unequal_or_empty_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="same users"):
        paired_bootstrap(np.zeros(2), np.zeros(3), 10, 0)
    with pytest.raises(ValueError, match="got none"):
        paired_bootstrap(np.array([np.nan]), np.zeros(1), 10, 0)
