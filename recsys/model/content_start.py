"""Where the content of items starts: the ridge regression of start vectors on content.

What content explains of where an item belongs, the content layers say from the first step; ids start at the rest. So
an item nobody has met yet starts where its content puts it (Gantner et al. 2010, learning attribute-to-feature
mappings).
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack

from recsys.features import ItemArrays, ridge_regression, rows_to_regress

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class ContentWeights:
    """Kernels of an item encoder's content layers, with K the width of its output.

    `text` [T, K], `numeric` [M, K], `bias` [K]; `categories`, `creators` and `languages` are tables of rows [., K],
    row 0 zeros.
    """

    text: Floats
    numeric: Floats
    bias: Floats
    categories: Floats
    creators: Floats
    languages: Floats

    def predict(self, items: ItemArrays) -> Floats:
        """Return what content says of every item, float32[n_items, K]."""
        said: Floats = (
            np.asarray(items.text @ self.text + items.numeric @ self.numeric + self.bias)
            + _shares(items.categories, len(self.categories)) @ self.categories
            + self.creators[items.creator]
            + self.languages[items.language]
        ).astype(np.float32)
        return said

    def times(self, factors: Floats) -> "ContentWeights":
        """Return weights whose outputs are multiplied by `factors` [K]."""
        return ContentWeights(*(getattr(self, field.name) * factors for field in fields(self)))


def fit_content(
    items: ItemArrays, targets: Floats, n_events: NDArray[np.integer], tables: tuple[int, int, int]
) -> ContentWeights:
    """Regress `targets` [n_items, K] on the content of the items that have `n_events` [n_items].

    `tables` are the numbers of rows of the category, creator and language tables, row 0 for unknown. Where content
    predicts nothing, it says the mean.
    """
    rows = rows_to_regress(n_events)
    slopes, mean = ridge_regression(_features(items, rows, tables), targets[rows])
    sizes = [items.text.shape[1], items.numeric.shape[1], *tables]
    text, numeric, categories, creators, languages = np.split(slopes, np.cumsum(sizes)[:-1])
    return ContentWeights(text, numeric, mean, categories, creators, languages)


def _features(items: ItemArrays, rows: NDArray[np.intp], tables: tuple[int, int, int]) -> csr_array:
    codes = items.categories[rows], items.creator[rows, None], items.language[rows, None]
    named = [_shares(each, n) for each, n in zip(codes, tables, strict=True)]
    return csr_array(hstack([csr_array(items.text[rows]), csr_array(items.numeric[rows]), *named]))


def _shares(codes: NDArray[np.integer], n: int) -> csr_array:
    """Return [N, n]: each row's 1 divided among its codes [N, C], of which 0 is none."""
    rows, columns = np.nonzero(codes)
    share = 1.0 / np.bincount(rows, minlength=len(codes))[rows]
    return csr_array((share.astype(np.float32), (rows, codes[rows, columns])), shape=(len(codes), n))
