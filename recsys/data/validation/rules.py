"""What a good row is, and what a good partition is: each rule names a column and the expectation about it.

A rule with a `check` gets a boolean column of its own name, computed by Polars; the others look at the contract's
column. Great Expectations sees those columns only, so neither its results nor its pages can hold an id.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final, Literal

import polars as pl

from recsys.config import ValidationConfig
from recsys.data.outlying import history_days
from recsys.data.tables import EVENT_RULES, UNREADABLE, present
from recsys.data.unreadable import names
from recsys.schema import (
    DURATION_S,
    EVENT,
    EVENT_ID,
    EVENT_KINDS,
    EXPIRES_AT,
    ITEM_ID,
    POSITION,
    PROPENSITY,
    PUBLISHED_AT,
    SIGNED_UP_AT,
    TABLE_SCHEMAS,
    TIMESTAMP,
    TITLE,
    USER_ID,
    VALUE,
    TableName,
)

ExpectationKind = Literal["not_null", "in_set", "between"]
FAR_FROM_OTHERS: Final = "no event far from all others in time; see validation.max_gap_days"
_WRITTEN: Final[dict[type[pl.DataType], str]] = {
    pl.Datetime: "every time is written in ISO 8601, in timestamp_unit or by timestamp_format",
    pl.Boolean: "every answer is yes, y, true, t, on, 1 or their opposites",
    pl.Int32: "every whole number is one, written as the mapping's decimal says",
    pl.Float64: "every number is one, written as the mapping's decimal says",
    pl.List: "every list is a list or a text",
}
MAX_HOURS_SINCE_LAST_EVENT: Final = 24.0  # a partition ends at midnight: its last day must have events


@dataclass(frozen=True)
class Rule:
    """One expectation. An advisory rule shows in the data docs and quarantines nothing."""

    name: str
    column: str
    kind: ExpectationKind
    description: str
    arguments: Mapping[str, object] = field(default_factory=dict)
    check: pl.Expr | None = None
    advisory: bool = False
    setting: str = ""
    """What to change in `[validation]` where a partition rule stops what is right."""
    table: TableName = "interactions"


@dataclass(frozen=True)
class Context:
    """What the rows of one partition are checked against; None ids mean that the source has no such table."""

    start: datetime
    end: datetime
    user_ids: pl.Series | None
    item_ids: pl.Series | None
    events_per_day: Mapping[date, int] = field(default_factory=dict)


def row_rules(table: TableName, validation: ValidationConfig, context: Context) -> list[Rule]:
    """Return the rules about each row of a table.

    Two more columns must be there: `first` says which rows are no duplicates, `UNREADABLE` what could not be read.
    """
    rules = {
        "interactions": lambda: _interaction_rules(validation, context),
        "users": lambda: _user_rules(context),
        "items": _item_rules,
    }
    return [*_readable_rules(table), *rules[table]()]


def partition_rules(validation: ValidationConfig) -> list[Rule]:
    """Return the rules about a frame with one row per partition."""
    ratio, share = validation.max_volume_ratio, validation.max_bad_fraction
    return [
        Rule("not_empty", "rows", "between", "good events in the partition", {"min_value": 1}),
        Rule(
            "volume",
            "volume_ratio",
            "between",
            "events against the previous snapshot's",
            {"min_value": 1 / ratio, "max_value": ratio},
        ),
        Rule(
            "fresh",
            "hours_since_last_event",
            "between",
            "hours from the newest event to the interval's end",
            {"min_value": 0, "max_value": MAX_HOURS_SINCE_LAST_EVENT},
        ),
        *(
            Rule(
                f"{table}_bad_fraction",
                f"{table}_bad_fraction",
                "between",
                f"share of {table} in quarantine",
                {"max_value": share},
            )
            for table in ("interactions", "users", "items")
        ),
    ]


def _readable_rules(table: TableName) -> list[Rule]:
    """One rule for each column that is not text, one for all texts: a value that was there could be read."""
    typed = [name for name, dtype in TABLE_SCHEMAS[table].items() if dtype != pl.String]
    others = pl.col(UNREADABLE).str.split(";").list.set_difference(pl.lit(typed)).list.len() == 0
    return [
        *(_true(f"{name}_readable", _WRITTEN[type(TABLE_SCHEMAS[table][name])], ~names(name)) for name in typed),
        _true("text_readable", "every text and id is a text, or a number a float holds exactly", others),
    ]


def _interaction_rules(validation: ValidationConfig, context: Context) -> list[Rule]:
    value, moment = pl.col(VALUE), pl.col(TIMESTAMP)
    return [
        _true("user_id_present", "every event has a user", present(USER_ID)),
        _true("item_id_present", "every event has an item", EVENT_RULES["item_id_present"]),
        Rule("event_present", EVENT, "not_null", "every event has a kind"),
        Rule("event_known", EVENT, "in_set", "kinds of events", {"value_set": list(EVENT_KINDS)}),
        _true("timestamp_present", "every event has a time", EVENT_RULES["timestamp_present"]),
        _true("timestamp_plausible", FAR_FROM_OTHERS, _plausible(context.events_per_day, validation.max_gap_days)),
        _true(
            "timestamp_inside_interval",
            "no event before or after the run's interval",
            moment.is_null() | ((moment >= context.start) & (moment < context.end)),
        ),
        _true("value_finite", "no NaN and no infinity", value.is_null() | value.is_finite()),
        Rule(
            "value_in_range",
            VALUE,
            "between",
            "ratings or seconds",
            {"min_value": 0.0, "max_value": validation.max_value},
        ),
        _true("rating_has_value", "a rating has its value", EVENT_RULES["rating_has_value"]),
        Rule("position_in_range", POSITION, "between", "rank on the screen", {"min_value": 0}),
        _true(
            "propensity_finite", "no NaN and no infinity", pl.col(PROPENSITY).is_null() | pl.col(PROPENSITY).is_finite()
        ),
        Rule(
            "propensity_in_range",
            PROPENSITY,
            "between",
            "probability of having been shown",
            {"min_value": 0.0, "max_value": 1.0, "strict_min": True},
        ),
        _true("not_duplicate", "one row per event id, and per user, item, kind and time", pl.col("first")),
        _true("user_known", "every event's user is in users", _known(USER_ID, context.user_ids)),
        _true("item_known", "every event's item has a good row in items", _known(ITEM_ID, context.item_ids)),
    ]


def _user_rules(context: Context) -> list[Rule]:
    return [
        _true("user_id_present", "every user has an id", present(USER_ID)),
        _true("user_id_unique", "one row per user", pl.col("first")),
        _true(
            "signed_up_before_end",
            "nobody from the future",
            pl.col(SIGNED_UP_AT).is_null() | (pl.col(SIGNED_UP_AT) < context.end),
        ),
    ]


def _item_rules() -> list[Rule]:
    duration = pl.col(DURATION_S)
    order = pl.col(EXPIRES_AT).is_null() | pl.col(PUBLISHED_AT).is_null() | (pl.col(EXPIRES_AT) > pl.col(PUBLISHED_AT))
    return [
        _true("item_id_present", "every item has an id", present(ITEM_ID)),
        _true("item_id_unique", "one row per item", pl.col("first")),
        _true("duration_finite", "no NaN and no infinity", duration.is_null() | duration.is_finite()),
        Rule("duration_in_range", DURATION_S, "between", "seconds", {"min_value": 0.0}),
        _true("expires_after_publication", "no item expires before it is published", order),
        Rule(
            "title_mostly_present",
            "title_present",
            "in_set",
            "most items have a title",
            {"value_set": [True], "mostly": 0.5},
            pl.col(TITLE).is_not_null() & (pl.col(TITLE) != ""),
            advisory=True,
        ),
    ]


def first_rows(frame: pl.LazyFrame, table: TableName) -> pl.Series:
    """Tell for each row of a whole partition whether it is the first of its kind.

    Events are compared by 64-bit hashes, so that 20 M of them fit: about one wrong hit in 10^5 such partitions.
    """
    if table != "interactions":
        key = pl.col(USER_ID if table == "users" else ITEM_ID)
        return frame.select((key.is_null() | key.is_first_distinct()).alias("first")).collect()["first"]
    by_id = pl.col(EVENT_ID).is_null() | pl.col(EVENT_ID).hash().is_first_distinct()
    by_content = pl.struct(USER_ID, ITEM_ID, EVENT, TIMESTAMP).hash().is_first_distinct()
    return frame.select((by_id & by_content).alias("first")).collect()["first"]


def _true(name: str, description: str, check: pl.Expr) -> Rule:
    return Rule(name, name, "in_set", description, {"value_set": [True]}, check)


def _plausible(events_per_day: Mapping[date, int], max_gap_days: int) -> pl.Expr:
    """Say nothing about events without a time: they break another rule."""
    if not events_per_day:
        return pl.lit(True)
    first, last = history_days(events_per_day, max_gap_days)
    return pl.col(TIMESTAMP).dt.date().is_between(first, last)


def _known(column: str, ids: pl.Series | None) -> pl.Expr:
    return pl.lit(True) if ids is None else pl.col(column).is_in(ids.implode()).fill_null(True)
