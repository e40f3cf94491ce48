"""What holds from one partition to the next: a day is no copy, keeps its hours, its items and users keep their values.

Nothing is compared where there is nothing before; a measure that is not there is None and passes. The partition `all`
has no partition before it: its days are compared with each other, its items and users with its last snapshot's.
"""

from collections.abc import Iterable
from typing import Final

from recsys.config import Config, ValidationConfig
from recsys.data.validation.earlier import Earlier, GoodRows
from recsys.data.validation.event_profile import (
    EventProfile,
    Keys,
    copied_share,
    copied_within,
    day_keys,
    hour_shift,
    profile,
    top_item_rise,
)
from recsys.data.validation.known_rows import (
    Presence,
    changed_share,
    emptied_share,
    fallen_share,
    known_rows,
    presence,
)
from recsys.data.validation.rules import Rule
from recsys.data.validation.staged import Staged
from recsys.schema import ITEMS, PRIVATE_USERS, TableName

Columns = dict[TableName, tuple[str, ...]]
_MIN_CATALOGUE: Final = 10  # items: in a smaller catalogue one item may well lead
_NOTABLE: Final = 0.2  # share of positive events from which on a leading item is looked at
_NOT_COMPARED: Final = ("user_id", "item_id", "consent_personalization", "consent_analytics", "do_not_sell")


def continuity_columns(partitions: Iterable[Staged], validation: ValidationConfig) -> Columns:
    """Return the columns of users and items to compare: the contract's and extra ones, without volatile ones."""
    left_out = {*_NOT_COMPARED, *validation.volatile_columns}
    columns: Columns = {"users": tuple(PRIVATE_USERS), "items": tuple(ITEMS)}
    for one in partitions:
        columns = {table: tuple(dict.fromkeys([*names, *one.columns(table)])) for table, names in columns.items()}
    return {table: tuple(name for name in names if name not in left_out) for table, names in columns.items()}


def continuity_rules(validation: ValidationConfig, columns: Columns) -> list[Rule]:
    """Return the rules about what `Continuity.measure` returns."""
    share, hours = validation.max_top_item_share, validation.max_hour_shift
    rules = [
        Rule(
            "copied_day",
            "copied_day",
            "between",
            "share of events that the day before has too: user, item, kind and time of day",
            {"max_value": validation.max_copied_share},
            setting="max_copied_share",
        ),
        Rule(
            "hour_shift",
            "hour_shift",
            "between",
            "hours by which events seem moved against the days before",
            {"min_value": -hours, "max_value": hours},
            setting="max_hour_shift",
        ),
        Rule(
            "top_item",
            "top_item",
            "between",
            "share of positive events that one item has",
            {"max_value": share},
            setting="max_top_item_share",
        ),
        Rule(
            "top_item_rise",
            "top_item_rise",
            "between",
            "the leading item's share of positive events over the largest of the days before",
            {"max_value": validation.max_top_item_rise},
            setting="max_top_item_rise",
        ),
    ]
    return rules + [
        rule for table, names in columns.items() for name in names for rule in _value_rules(validation, table, name)
    ]


class Continuity:
    """Measures each partition of a run against those before it."""

    def __init__(self, config: Config, columns: Columns) -> None:
        self._columns = columns
        self._earlier = Earlier(config)
        self._profiles: dict[str, EventProfile] = {}
        self._presences: dict[tuple[str, TableName], Presence] = {}
        self._last: tuple[str, Keys] = ("", None)

    def measure(self, one: Staged) -> dict[str, float | None]:
        """Return rule name -> observed value of a partition whose rows are checked; later ones compare with it."""
        now, is_day = GoodRows.of(one), one.name[:1].isdigit()
        self._profiles.pop(now.name, None)
        before = self._earlier.before(now.name)
        timed = one.info.get("time") != "unknown"
        measured = {"copied_day": self._copied(now, before, is_day) if timed else None, **self._events(now, before)}
        if not is_day:
            last = self._earlier.published(now.name)
            before = [last] if last else []
        for table in self._columns:
            measured |= self._values(now, before, table)
        self._earlier.add(now)
        return measured

    def _copied(self, now: GoodRows, before: list[GoodRows], is_day: bool) -> float | None:
        if not is_day:
            return copied_within(now.scan("interactions"))
        name, keys = self._last
        if before and before[0].name != name:
            keys = day_keys(before[0].scan("interactions"))
        today = day_keys(now.scan("interactions"))
        self._last = (now.name, today)
        return copied_share(today, keys) if before else None

    def _events(self, now: GoodRows, before: list[GoodRows]) -> dict[str, float | None]:
        today, days = self._profile(now), [self._profile(rows) for rows in before]
        n_items = [day.n_items for day in (today, *days)] + [self._presence(rows, "items")["rows"] for rows in before]
        has_choice = max(*n_items, self._presence(now, "items")["rows"]) >= _MIN_CATALOGUE
        return {
            "hour_shift": hour_shift(today.user_hours, [day.user_hours for day in days]),
            "top_item": today.top_item if has_choice else None,
            "top_item_rise": top_item_rise(today, days, _NOTABLE) if has_choice else None,
        }

    def _values(self, now: GoodRows, before: list[GoodRows], table: TableName) -> dict[str, float | None]:
        known = known_rows(now, before, table, self._columns[table])
        counts, counts_before = self._presence(now, table), [self._presence(rows, table) for rows in before]
        measured: dict[str, float | None] = {}
        for name in self._columns[table]:
            gone = (emptied_share(known, name), fallen_share(counts, counts_before, name))
            measured[_emptied(table, name)] = max((share for share in gone if share is not None), default=None)
            measured[_changed(table, name)] = changed_share(known, name)
        return measured

    def _profile(self, rows: GoodRows) -> EventProfile:
        if rows.name not in self._profiles:
            self._profiles[rows.name] = profile(rows.scan("interactions"))
        return self._profiles[rows.name]

    def _presence(self, rows: GoodRows, table: TableName) -> Presence:
        key = (str(rows.folder), table)
        if key not in self._presences:
            self._presences[key] = presence(rows, table, self._columns[table])
        return self._presences[key]


def _value_rules(validation: ValidationConfig, table: TableName, column: str) -> tuple[Rule, Rule]:
    return (
        Rule(
            _emptied(table, column),
            _emptied(table, column),
            "between",
            f"share of {column} in {table} that is gone since the days before",
            {"max_value": validation.max_emptied_share},
            setting="max_emptied_share",
            table=table,
        ),
        Rule(
            _changed(table, column),
            _changed(table, column),
            "between",
            f"share of {column} in {table} that changed since the days before; 1 is as if dealt anew",
            {"max_value": validation.max_changed_share},
            setting="max_changed_share",
            table=table,
        ),
    )


def _emptied(table: TableName, column: str) -> str:
    return f"{table}_{column}_emptied"


def _changed(table: TableName, column: str) -> str:
    return f"{table}_{column}_changed"
