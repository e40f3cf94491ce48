"""What items are about, as vectors of those that are looked at."""

from types import SimpleNamespace

import numpy as np
import pytest

from recsys.features import content_vectors


@pytest.fixture
def dataset() -> SimpleNamespace:
    text = np.array([[3.0, 4.0], [0.0, 0.0], [0.0, 2.0], [1.0, 0.0]], np.float32)
    categories = np.array([[7, 2], [2, 0], [0, 0], [300, 9]], np.int32)
    return SimpleNamespace(items=SimpleNamespace(text=text, categories=categories))


def test_vectors_are_unit_texts_beside_unit_categories(dataset: SimpleNamespace) -> None:
    half = 0.5**0.5
    expected = [[0.6, 0.8, half, half, 0, 0], [0, 0, 1, 0, 0, 0], [0, 1, 0, 0, 0, 0], [1, 0, 0, 0, half, half]]
    np.testing.assert_allclose(content_vectors(dataset), expected, atol=1e-7)


def test_vectors_of_some_items_compare_as_those_of_all(dataset: SimpleNamespace) -> None:
    rows = np.array([3, 0])
    some, whole = content_vectors(dataset, rows), content_vectors(dataset)[rows]
    assert some.shape == (2, 6)
    np.testing.assert_allclose(some @ some.T, whole @ whole.T, atol=1e-6)
    assert content_vectors(dataset, np.array([1])).shape == (1, 3)
