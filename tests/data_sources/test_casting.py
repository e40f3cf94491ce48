"""Casts to the contract's types, value by value."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Literal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.config import TableMapping
from recsys.data.sources.casting import cast, unreadable

UTC_US = pl.Datetime("us", "UTC")
Unit = Literal["iso", "auto", "s", "ms", "us", "ns"]


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


@given(st.lists(st.none() | st.text(max_size=25)), st.sampled_from(TYPES), st.sampled_from(["iso", "auto", "s", "us"]))
def test_no_text_makes_a_cast_fail(values: list[str | None], dtype: pl.DataType, unit: Unit) -> None:
    read = cast(pl.Series(values, dtype=pl.String), dtype, TableMapping(timestamp_unit=unit))
    assert (len(read), read.dtype) == (len(values), dtype)


def lost(values: list[object] | pl.Series, dtype: pl.DataType, name: str = "", **mapping: object) -> list[bool]:
    column = values if isinstance(values, pl.Series) else pl.Series(values)
    return unreadable(column, cast(column, dtype, TableMapping.model_validate(mapping), name)).to_list()


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("2026-03-29 03:00:00 UTC", 3),
        ("2026-03-29 03:00:00 GMT", 3),
        ("2026-03-29t03:00z", 3),
        ("2026-03-29T03:00:00+0200", 1),
        ("2026-03-29 03:00:00 +0200", 1),
        ("2026-03-29 03:00 -02:00", 5),
        ("2026-03-29T03:00:00,000Z", 3),
        ("2026-03-29T03:00:00.000000000", 3),
        ("2026-03-29T03:00:00+02:00[Europe/Berlin]", 1),
        ("20260329T030000Z", 3),
        ("20260329T0300", 3),
        ("20260329030000", 3),
        ("2026/03/29 03:00", 3),
        (" 2026-03-29T03:00:00Z ", 3),
        ("20260329", 0),
    ],
)
def test_spellings_of_one_time_are_all_read(text: str, hour: int) -> None:
    assert moments([text]) == [datetime(2026, 3, 29, hour, tzinfo=UTC)]
    assert moments([text, "2026-03-29"], "auto")[0] == datetime(2026, 3, 29, hour, tzinfo=UTC)


@pytest.mark.parametrize("text", ["29.03.2026 03:00", "03/29/2026", "2026-03-29 03:00 CET", "2026-13-01", "1767225600"])
def test_times_whose_meaning_is_not_certain_are_unreadable(text: str) -> None:
    assert moments([text]) == [None]
    assert lost([text], UTC_US) == [True]


@pytest.mark.parametrize("value", [1_767_225_600, 1_767_225_600_000, 1_767_225_600_000_000, 1_767_225_600_000_000_000])
def test_auto_tells_the_unit_of_every_number_by_its_size_alone(value: int) -> None:
    expected = datetime(2026, 1, 1, tzinfo=UTC)
    assert moments([value], "auto") == moments([str(value)], "auto") == [expected]
    assert moments([float(value)], "auto") == [expected]
    assert moments([str(value), "2026-01-02"], "auto")[0] == expected


def test_auto_reads_dates_before_numbers_and_refuses_sizes_that_fit_two_units() -> None:
    assert moments(["20260101", "0", "-157766400000", "50000000000", "99999999999999999999"], "auto") == [
        datetime(2026, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC), datetime(1965, 1, 1, tzinfo=UTC), None, None,
    ]  # fmt: skip


def test_microseconds_are_exact() -> None:
    exact = datetime(2026, 1, 1, 0, 0, 0, 123_457, tzinfo=UTC)
    assert moments([1_767_225_600_123_457], "us") == moments(["1767225600123457"], "auto") == [exact]
    assert moments([1_767_225_600_123_457_000], "ns")[0] == exact


def test_patterns_are_tried_in_order_and_nothing_else_is() -> None:
    patterns = ["%d.%m.%Y %H:%M", "%m/%d/%Y %I:%M %p", "%d.%m.%Y %H:%M:%S.%f", "%d %b %Y %H:%M %z"]
    values = pl.Series(["29.03.2026 03:00", "03/29/2026 03:05 PM", "29.03.2026 03:00:01.25", "29 Mar 2026 03:00 +0200",
                        "2026-03-29"])  # fmt: skip
    at = datetime(2026, 3, 29, 3, tzinfo=UTC)
    assert cast(values, UTC_US, TableMapping(timestamp_format=patterns)).to_list() == [
        at, at.replace(hour=15, minute=5), at.replace(second=1, microsecond=250_000), at.replace(hour=1), None,
    ]  # fmt: skip


@pytest.mark.parametrize("pattern", ["%H:%M", "%d.%m.", "yyyy-MM-dd", "%Y-%q", "%"])
def test_a_pattern_without_a_whole_date_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"year, month and day.*got"):
        TableMapping(timestamp_format=pattern)  # type: ignore[arg-type]


def test_decimal_commas_are_read_and_points_only_between_groups_of_three() -> None:
    values = ["4,5", "1.234,5", "-0,5", "1234", "1.234", "4.5", "1,2,3"]
    read = cast(pl.Series(values), pl.Float64(), TableMapping(decimal=","))
    assert read.to_list() == [4.5, 1234.5, -0.5, 1234.0, 1234.0, None, None]
    assert cast(pl.Series([4.5]), pl.Float64(), TableMapping(decimal=",")).to_list() == [4.5]
    assert lost(["4,5"], pl.Float64()) == [True]


@pytest.mark.parametrize(("words", "meaning"), [(["Y", "yes", " On ", "1", "1.0", "T", "true"], True),
                                               (["N", "no", "off", "0", "0.00", "F", "FALSE"], False)])  # fmt: skip
def test_consent_is_read_from_the_usual_words(words: list[str], meaning: bool) -> None:
    assert cast(pl.Series(words), pl.Boolean(), TableMapping()).to_list() == [meaning] * len(words)


def test_a_refusal_in_other_words_is_unreadable_and_not_absent() -> None:
    assert lost(["maybe", "none", "n/a", "2", "", "NULL", "nan", None], pl.Boolean()) == [True] * 4 + [False] * 4


def test_values_that_exports_leave_out_are_not_unreadable() -> None:
    assert lost(["NULL", "n/a", "", "None", "\\N", "NaN", None, "many"], pl.Float64()) == [False] * 7 + [True]
    assert lost(["NaT", "", "soon"], UTC_US) == [False, False, True]
    assert lost([float("nan"), float("inf")], pl.Int32()) == [False, True]


def test_whole_floats_are_the_integer_they_are() -> None:
    floats = [500.0, -0.0, 1e15, 2.0**53 - 1, 1.5, float("nan"), float("inf"), 2.0**53]
    read = cast(pl.Series(floats), pl.String(), TableMapping(), "item_id").to_list()
    assert read == ["500", "0", "1000000000000000", "9007199254740991", "1.5", None, None, None]
    assert lost(floats, pl.String(), "item_id") == [False] * 6 + [True, True]  # 2**53 may stand for 2**53 + 1
    assert lost(pl.Series([2.0**24, 2.0**24 - 1], dtype=pl.Float32), pl.String()) == [True, False]


def test_texts_of_whole_floats_are_integers_in_identifiers_alone() -> None:
    texts = ["500.0", "500.00", "9007199254740993.0", "-0.0", "1.10", "007", "007.0", "1e3", "nan", "inf", "v1.0"]
    expected = ["500", "500", "9007199254740993", "0", "1.10", "007", "007.0", "1e3", "nan", "inf", "v1.0"]
    assert cast(pl.Series(texts), pl.String(), TableMapping(), "item_id").to_list() == expected
    assert cast(pl.Series(texts), pl.String(), TableMapping(), "title").to_list() == texts


def test_decimals_are_the_integer_they_are() -> None:
    values = pl.Series([Decimal("500.00"), Decimal("1.10")])
    assert cast(values, pl.String(), TableMapping(), "user_id").to_list() == ["500", "1.10"]


@pytest.mark.parametrize("kind", [pl.Categorical(), pl.Enum(["12", "x"])])
def test_categories_count_as_their_text_and_not_as_their_code(kind: pl.DataType) -> None:
    assert cast(pl.Series(["12", "x"], dtype=kind), pl.Float64(), TableMapping()).to_list() == [12.0, None]


def test_other_types_mean_what_they_say_or_are_unreadable() -> None:
    assert cast(pl.Series([timedelta(seconds=90)]), pl.Float64(), TableMapping()).to_list() == [90.0]
    assert lost([date(2026, 1, 2)], pl.Float64()) == [True]
    assert cast(pl.Series([b"u1", b"\xff"]), pl.String(), TableMapping()).to_list() == ["u1", None]
    assert lost(pl.Series([b"u1", b"\xff"]), pl.String()) == [False, True]
    assert cast(pl.Series([[1.0, 2.0]]), pl.List(pl.String()), TableMapping()).to_list() == [["1", "2"]]
