"""Casts to the contract's types, value by value."""

from datetime import UTC, date, datetime
from typing import Literal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.config import TableMapping
from recsys.data.sources.casting import cast

UTC_US = pl.Datetime("us", "UTC")
Unit = Literal["iso", "s", "ms", "us"]


def moments(values: list[object], unit: Unit = "iso") -> list[datetime | None]:
    return cast(pl.Series(values), UTC_US, TableMapping(timestamp_unit=unit)).to_list()


def test_iso_times_of_every_form_stand_side_by_side() -> None:
    texts = [
        "2026-01-02T03:04:05Z", "2026-01-02 03:04:05", "2026-01-02T03:04:05.250+00:00", "2026-01-02T03:04",
        "2026-01-02", "2026-01-02T03:04:05+02:00", "2026-01-02 03:04:05-0130", "2026-01-02 03:04:05+02",
        "2026-02-30", "soon", "", None,
    ]  # fmt: skip
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert moments(texts) == [
        at, at, at.replace(microsecond=250_000), at.replace(second=0), datetime(2026, 1, 2, tzinfo=UTC),
        at.replace(hour=1), at.replace(hour=4, minute=34), at.replace(hour=1), None, None, None, None,
    ]  # fmt: skip


@pytest.mark.parametrize(("unit", "ticks"), [("s", 1), ("ms", 1_000), ("us", 1_000_000)])
def test_numbers_are_times_in_the_given_unit(unit: Unit, ticks: int) -> None:
    expected = [datetime(2026, 1, 1, tzinfo=UTC)]
    assert moments([1_767_225_600 * ticks], unit) == expected
    assert moments([str(1_767_225_600 * ticks)], unit) == expected


def test_times_past_the_year_9999_are_unreadable_not_an_overflow() -> None:
    assert moments([1_767_225_600_000], "s") == [None]
    assert moments([1e300], "s") == [None]


def test_dates_and_naive_times_are_utc() -> None:
    assert moments([date(2026, 1, 2)]) == [datetime(2026, 1, 2, tzinfo=UTC)]
    assert moments([datetime(2026, 1, 2, 3)]) == [datetime(2026, 1, 2, 3, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("given_values", "expected"),
    [
        (["34", "34.0", " 7 ", "34.5", "x", None], [34, 34, 7, None, None, None]),
        ([34.0, float("nan"), 1e300], [34, None, None]),
    ],
)
def test_whole_numbers_are_read_from_text_and_floats(given_values: list[object], expected: list[int | None]) -> None:
    assert cast(pl.Series(given_values), pl.Int32(), TableMapping()).to_list() == expected


def test_numbers_that_are_not_are_null() -> None:
    assert cast(pl.Series(["1.5", "nan", "no", None]), pl.Float64(), TableMapping()).to_list() == [
        1.5,
        None,
        None,
        None,
    ]


def test_words_and_numbers_mean_yes_or_no() -> None:
    words = pl.Series(["True", "0", "YES", "f", "maybe", None])
    assert cast(words, pl.Boolean(), TableMapping()).to_list() == [True, False, True, False, None, None]
    assert cast(pl.Series([1.0, 0.0]), pl.Boolean(), TableMapping()).to_list() == [True, False]


def test_categories_are_split_and_blanks_dropped() -> None:
    labels = pl.List(pl.String())
    assert cast(pl.Series(["a| b", "", "a||c", None]), labels, TableMapping()).to_list() == [
        ["a", "b"], [], ["a", "c"], None,
    ]  # fmt: skip
    assert cast(pl.Series([[1, 2], None]), labels, TableMapping()).to_list() == [["1", "2"], None]


def test_nested_values_where_none_belong_are_null() -> None:
    assert cast(pl.Series([{"a": 1}]), pl.String(), TableMapping()).to_list() == [None]
    assert cast(pl.Series([[1]]), pl.Float64(), TableMapping()).to_list() == [None]


TYPES = [pl.String(), pl.Int32(), pl.Float64(), pl.Boolean(), UTC_US, pl.List(pl.String())]


@given(st.lists(st.none() | st.text(max_size=25)), st.sampled_from(TYPES), st.sampled_from(["iso", "s", "us"]))
def test_no_text_makes_a_cast_fail(values: list[str | None], dtype: pl.DataType, unit: Unit) -> None:
    read = cast(pl.Series(values, dtype=pl.String), dtype, TableMapping(timestamp_unit=unit))
    assert (len(read), read.dtype) == (len(values), dtype)
