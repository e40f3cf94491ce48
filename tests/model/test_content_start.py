from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from recsys.features import Dataset, ItemArrays
from recsys.model.content_start import fit_content


@pytest.fixture
def catalogue(make: Callable[..., Dataset]) -> tuple[ItemArrays, tuple[int, int, int]]:
    world = make(60, 64, 12)
    return world.items, (len(world.spec.category_vocab) + 1, 1, 1)


def _targets(items: ItemArrays, noise: float) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    generator = np.random.default_rng(0)
    of_category = generator.normal(size=(items.categories.max() + 1, 3))
    return (of_category[items.categories[:, 0]] + noise * generator.normal(size=(len(items.ids), 3))).astype(np.float32)


def test_content_predicts_items_it_was_not_fitted_on(catalogue: tuple[ItemArrays, tuple[int, int, int]]) -> None:
    items, tables = catalogue
    targets = _targets(items, 0.1)
    weights = np.where(np.arange(len(targets)) % 5 == 0, 0.0, 5.0)
    predicted = fit_content(items, targets, weights, tables).predict(items)
    cold = weights == 0
    unexplained = ((predicted - targets)[cold] ** 2).sum() / ((targets - targets.mean(axis=0))[cold] ** 2).sum()
    assert unexplained < 0.1


def test_content_that_tells_nothing_says_the_mean(catalogue: tuple[ItemArrays, tuple[int, int, int]]) -> None:
    items, tables = catalogue
    targets = np.random.default_rng(3).normal(size=(len(items.ids), 2)).astype(np.float32)
    blank = {"categories": np.zeros_like(items.categories), "text": np.zeros_like(items.text),
             "numeric": np.zeros_like(items.numeric)}  # fmt: skip
    predicted = fit_content(replace(items, **blank), targets, np.ones(len(targets)), tables).predict(items)
    assert np.allclose(predicted, targets.mean(axis=0), atol=1e-5)


@pytest.mark.parametrize("n_met", [0, 1, 5])
def test_few_met_items_are_no_reason_to_fail(catalogue: tuple[ItemArrays, tuple[int, int, int]], n_met: int) -> None:
    items, tables = catalogue
    weights = (np.arange(len(items.ids)) < n_met).astype(float)
    fitted = fit_content(items, _targets(items, 0.1), weights, tables)
    assert np.isfinite(fitted.predict(items)).all()
    assert not fitted.categories.any()


def test_factors_scale_what_content_says(catalogue: tuple[ItemArrays, tuple[int, int, int]]) -> None:
    items, tables = catalogue
    fitted = fit_content(items, _targets(items, 0.1), np.ones(len(items.ids)), tables)
    factors = np.array([2.0, 0.5, 1.0], np.float32)
    assert np.allclose(fitted.times(factors).predict(items), fitted.predict(items) * factors, atol=1e-5)
