"""How alike items are in content: a kernel over words, categories and numbers, and regression by it."""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_array

from recsys.features.dataset import Dataset
from recsys.features.encode import texts
from recsys.features.ridge import rows_to_regress

_LINEAR_SHARE = 0.25  # of products of numbers beside words' and categories' 1
_NUMERIC_SHARE = 0.5  # of Gaussians of numbers
_NUMERIC_WIDTH = 0.5  # standard deviations of a number at which items are still much alike
_RIDGE = 0.3  # noise of an item's target, in mean variances of the kernel
_DOUBT = 5.0  # events at which an item's target is half chance

Floats = NDArray[np.float64]


def content_kernel(dataset: Dataset, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Floats:
    """Return float64[rows, columns]: how alike items are in words, categories and numbers (log age, log duration).

    The sum of inner products of unit TF-IDF and category vectors and of numbers, a quarter of these, and of Gaussians
    of the numbers, plus a Gaussian of the distance it makes: linear where few items tell, local where many do.
    """
    words = dataset.text_model.weighted(texts(dataset.items_frame))
    categories = _unit_categories(np.asarray(dataset.items.categories))
    numbers = np.asarray(dataset.items.numeric, np.float64)
    n_numbers = max(numbers.shape[1], 1)
    alike = (words[rows] @ words[columns].T + categories[rows] @ categories[columns].T).toarray().astype(np.float64)
    own = np.asarray(words.multiply(words).sum(axis=1) + categories.multiply(categories).sum(axis=1), np.float64)
    for each in numbers.T:
        apart = (each[rows, None] - each[columns]) / _NUMERIC_WIDTH
        alike += _NUMERIC_SHARE / n_numbers * np.exp(-0.5 * apart**2)
    alike += _LINEAR_SHARE * numbers[rows] @ numbers[columns].T
    own += _LINEAR_SHARE * (numbers**2).sum(axis=1) + _NUMERIC_SHARE * (numbers.shape[1] > 0)
    squared = np.maximum(own[rows, None] + own[columns] - 2 * alike, 0)
    return np.asarray(alike + np.exp(-0.5 * squared), np.float64)


def predicted_by_content(
    dataset: Dataset, targets: NDArray[np.floating], n_events: NDArray[np.integer]
) -> NDArray[np.float32]:
    """Return float32[n_items, K]: what content says of every item's `targets` [n_items, K], regressed on those of the
    6,000 items with most `n_events` [n_items]. (Kernel ridge regression, each item's noise by its events.)
    """
    known, everything = rows_to_regress(n_events), np.arange(len(n_events))
    if not known.size:
        return np.zeros(targets.shape, np.float32)
    alike = content_kernel(dataset, everything, known)
    kernel = alike[known]
    noise = _RIDGE * kernel.diagonal().mean() * (1 + _DOUBT / np.asarray(n_events)[known])
    kernel[np.diag_indices_from(kernel)] += noise
    mean = targets[known].mean(axis=0, dtype=np.float64)
    weights = cho_solve(cho_factor(kernel, overwrite_a=True, check_finite=False), targets[known] - mean)
    return np.asarray(alike @ weights + mean, np.float32)


def _unit_categories(codes: NDArray[np.integer]) -> csr_array:
    """Return [n, largest code + 1]: each row's codes, of which 0 is none, as a vector of length 1."""
    rows, columns = np.nonzero(codes)
    share = np.bincount(rows, minlength=len(codes))[rows] ** -0.5
    return csr_array((share, (rows, codes[rows, columns])), shape=(len(codes), int(codes.max(initial=0)) + 1))
