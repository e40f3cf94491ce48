import numpy as np
import pytest

from recsys.evaluation import lists


def test_novelty_agrees_with_rectools_published_example() -> None:
    # RecTools MeanInvUserFreq: item 1 seen by 3 of 3 users, item 2 by one, item 3 by nobody (counted once).
    counts = np.array([3, 1, 0])
    items = np.array([[2, -1], [1, 2], [0, 1]], np.int32)
    assert lists.novelty(items, counts, 3) == pytest.approx([1.5849625, 1.5849625, 0.79248125], abs=1e-7)


def test_diversity_matches_a_plain_loop_over_pairs() -> None:
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(9, 4)).astype(np.float32)
    items = generator.permuted(np.tile(np.arange(9, dtype=np.int32), (3, 1)), axis=1)[:, :5]
    items[0, 3:] = -1
    values = lists.diversity(items, vectors)
    for row, chosen in enumerate(items):
        kept = [vectors[item].astype(float) for item in chosen if item >= 0]
        pairs = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for i, a in enumerate(kept) for b in kept[i + 1 :]]
        assert values[row] == pytest.approx(1 - np.mean(pairs), abs=1e-9)


def test_diversity_of_equal_items_is_zero_and_of_one_item_unknown() -> None:
    vectors = np.ones((3, 2), np.float32)
    assert lists.diversity(np.array([[0, 1, 2]], np.int32), vectors)[0] == pytest.approx(0, abs=1e-9)
    assert np.isnan(lists.diversity(np.array([[0, -1, -1]], np.int32), vectors)[0])


def test_padding_is_no_item() -> None:
    empty = np.full((1, 2), -1, np.int32)
    assert lists.coverage(empty, 3) == 0.0
    assert np.isnan(lists.novelty(empty, np.array([1, 2]), 3)[0])
    assert np.isnan(lists.popularity_bias(empty, np.array([1, 2]))[0])


def test_popularity_bias_of_the_whole_catalogue_is_the_middle() -> None:
    counts = np.array([7, 7, 0, 3, 1, 100])
    items = np.arange(6, dtype=np.int32)[None, :]
    assert lists.popularity_bias(items, counts)[0] == pytest.approx(3.5 / 6)
