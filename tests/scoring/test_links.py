"""The strongest links of each item, found block by block."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from recsys.scoring import links as module
from recsys.scoring.links import largest_of_each_row, links, row_blocks


def drawn(n: int, m: int, seed: int) -> csr_array:
    generator = np.random.default_rng(seed)
    return csr_array((generator.random((n, m)) < 0.3) * generator.integers(1, 9, (n, m)).astype(float))


def test_blocks_hold_every_row_once_and_few_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ENTRIES", 10)
    monkeypatch.setattr(module, "_BLOCK", 3)
    sizes = np.array([4, 4, 4, 50, 0, 0, 0, 0, 10, 1])
    blocks = list(row_blocks(sizes))
    assert [(block.start, min(block.stop, 10)) for block in blocks] == [(0, 2), (2, 3), (3, 4), (4, 7), (7, 9), (9, 10)]
    assert next(row_blocks(sizes, most=3)) == slice(0, 3)


@pytest.mark.parametrize("entries", [1, 7, 40])
def test_links_do_not_depend_on_the_blocks(monkeypatch: pytest.MonkeyPatch, entries: int) -> None:
    left, right = drawn(12, 9, 0), drawn(9, 12, 1)
    whole, cut = links(left, right, 3), largest_of_each_row(left, 2)
    monkeypatch.setattr(module, "_ENTRIES", entries)
    np.testing.assert_array_equal(links(left, right, 3).toarray(), whole.toarray())
    np.testing.assert_array_equal(largest_of_each_row(left, 2).toarray(), cut.toarray())


def test_links_are_the_largest_products_of_others() -> None:
    left, right = drawn(12, 9, 0), drawn(9, 12, 1)
    product = left.toarray() @ right.toarray()
    np.fill_diagonal(product, 0)
    found = links(left, right, 3).toarray()
    assert (np.count_nonzero(found, axis=1) <= 3).all()
    np.testing.assert_array_equal(np.sort(found, axis=1)[:, -3:], np.sort(product, axis=1)[:, -3:])


def test_no_rows_have_no_links() -> None:
    assert links(csr_array((0, 2)), csr_array((2, 4)), 3).shape == (0, 4)
