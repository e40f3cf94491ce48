"""Columns of strings: read as arrays are, and no wider than their texts."""

import numpy as np
import polars as pl
import pytest

from recsys.features import StringColumn

COLUMN = StringColumn(pl.Series("title", ["b", None, "a", "é" * 3]))


def test_a_missing_string_is_empty() -> None:
    assert COLUMN.tolist() == ["b", "", "a", "ééé"]


def test_one_row_is_a_str_whatever_counts_it() -> None:
    assert [COLUMN[0], COLUMN[np.int32(2)], COLUMN[-1]] == ["b", "a", "ééé"]
    assert type(COLUMN[np.int64(0)]) is str


def test_rows_masks_and_slices_choose_in_their_order() -> None:
    assert COLUMN[np.array([3, 0, 0], np.int32)].tolist() == ["ééé", "b", "b"]
    assert COLUMN[np.array([], np.int64)].tolist() == []
    assert COLUMN[np.array([True, False, False, True])].tolist() == ["b", "ééé"]
    assert COLUMN[1:3].tolist() == ["", "a"]


def test_a_mask_of_another_length_is_refused() -> None:
    with pytest.raises(IndexError, match="4 rows"):
        COLUMN[np.array([True])]


def test_equal_columns_hold_the_same_strings_in_the_same_order() -> None:
    assert StringColumn.of(["a", "b"]) == StringColumn(pl.Series("other name", ["a", "b"]))
    assert StringColumn.of(["a", "b"]) != StringColumn.of(["b", "a"])
    assert StringColumn.of(["a"]) != StringColumn.of(["a", "b"])
    assert StringColumn.of([]) == StringColumn.of([])
    assert StringColumn.of([None]) == StringColumn.of([""])


def test_numpy_sees_objects_and_never_text_of_fixed_width() -> None:
    assert np.asarray(COLUMN).dtype == object
    assert np.repeat(COLUMN, [1, 0, 2, 0]).tolist() == ["b", "a", "a"]


def test_its_series_is_the_table_s_own_and_named_as_wanted() -> None:
    series = pl.Series("title", ["long enough to stand outside of the view"] * 3)
    assert StringColumn(series).to_series("item_id").name == "item_id"
    assert StringColumn(series).nbytes == series.estimated_size()


def test_a_column_says_its_length_and_not_its_strings() -> None:
    assert repr(StringColumn.of(["secret"])) == "StringColumn of 1 strings"
