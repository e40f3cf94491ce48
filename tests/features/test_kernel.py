"""How alike items are in content, and what content predicts of items nobody has met."""

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from recsys.features import TextModel, content_kernel, predicted_by_content
from recsys.features.encode import texts


def world(words, categories, numbers):
    frame = pl.DataFrame({"description": words}).with_columns(
        title=None, creator=pl.lit(None, pl.String), categories=pl.lit([], pl.List(pl.String))
    )
    items = SimpleNamespace(categories=np.array(categories), numeric=np.array(numbers, np.float32))
    return SimpleNamespace(items_frame=frame, text_model=TextModel.fit(texts(frame), 2), items=items)


def test_alikeness_is_the_sum_over_words_categories_and_numbers():
    made = world(["one", "one", "two"], [[1, 2], [1, 0], [3, 0]], [[1.0], [1.0], [1.5]])
    found = content_kernel(made, np.arange(3), np.arange(3))
    alike = 1 + 2**-0.5 + 0.5 + 0.25  # the same word, a category of two, the same number
    apart = 0.5 * np.exp(-0.5) + 0.25 * 1.5  # one width apart
    own = np.array([2.75, 2.75, 2.5 + 0.25 * 1.5**2])
    assert np.diag(found) == pytest.approx(own + 1)
    assert found[0, 1] == pytest.approx(alike + np.exp(-0.5 * (5.5 - 2 * alike)), abs=1e-6)
    assert found[0, 2] == pytest.approx(apart + np.exp(-0.5 * (own[0] + own[2] - 2 * apart)), abs=1e-6)
    np.testing.assert_allclose(content_kernel(made, np.array([2]), np.array([0, 1])), found[2:, :2])


def test_items_without_content_are_equally_unlike_all_others():
    made = world(["", "word", "other"], [[0], [1], [2]], np.zeros((3, 0)))
    found = content_kernel(made, np.array([0]), np.array([1, 2]))
    assert found[0] == pytest.approx(np.exp(-0.5 * 2))


def test_what_nobody_met_is_predicted_from_what_is_described_alike():
    words = ["war", "war", "love", "love", "war", "love"]
    made = world(words, [[0]] * 6, np.zeros((6, 0)))
    targets = np.array([[1.0], [1.0], [-1.0], [-1.0], [0.0], [0.0]])
    found = predicted_by_content(made, targets, np.array([50, 50, 50, 50, 0, 0]))
    assert found[4, 0] > 0.5 and found[5, 0] < -0.5


def test_items_of_few_events_say_less():
    made = world(["war", "love", "war", "love"], [[0]] * 4, np.zeros((4, 0)))
    targets = np.array([[1.0], [-1.0], [0.0], [0.0]])
    sure, unsure = (predicted_by_content(made, targets, np.array([n, n, 0, 0]))[2, 0] for n in (1000, 1))
    assert 0 < unsure < 0.6 * sure


def test_without_an_event_nothing_is_predicted():
    made = world(["war", "love"], [[0]] * 2, np.zeros((2, 0)))
    assert not predicted_by_content(made, np.ones((2, 3)), np.zeros(2, int)).any()
