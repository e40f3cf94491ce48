"""What could be read of each column of a table, over all batches; says what to set where the mapping is wrong."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import polars as pl

from recsys.config import TableMapping
from recsys.data.identifiers import form_of
from recsys.data.sources.times import unit_by_size
from recsys.errors import SourceError
from recsys.schema import TABLE_SCHEMAS, TIMESTAMP, TableName

_UNITS: Final = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NEVER: Final = datetime.max.replace(tzinfo=UTC)
_FIRST_WEEKS: Final = timedelta(days=31)  # 1.8e9 seconds, taken for milliseconds, are three weeks


class Readability:
    """Counts what was read and what was lost of each column; times are also counted by the unit of their size."""

    def __init__(self, table: TableName, where: str, mapping: TableMapping) -> None:
        self._table, self._where, self._mapping = table, where, mapping
        self._lost: Counter[str] = Counter()
        self._read: Counter[str] = Counter()
        self._units: dict[str, Counter[str]] = {}
        self._forms: dict[str, str] = {}
        self._latest: dict[str, datetime] = {}

    def add(self, name: str, given: pl.Series, read: pl.Series, lost: pl.Series) -> None:
        """Count one batch of a column, before and after its cast; `lost` marks the values that could not be read."""
        n_lost = int(lost.sum())
        self._lost[name] += n_lost
        self._read[name] += read.count()
        if n_lost and name not in self._forms:
            self._forms[name] = form_of(str(given.filter(lost)[0]))
        if isinstance(read.dtype, pl.Datetime) and given.dtype.is_temporal():
            latest = [moment for moment in (self._latest.get(name), read.max()) if isinstance(moment, datetime)]
            self._latest |= {name: max(latest)} if latest else {}
        elif isinstance(read.dtype, pl.Datetime) and not given.dtype.is_nested():
            self._units.setdefault(name, Counter()).update(_units(given, lost, self._mapping))

    def state(self) -> dict[str, Any]:  # Any: JSON
        """Return everything counted, as JSON; `merge` reads it."""
        return {
            "lost": dict(self._lost),
            "read": dict(self._read),
            "units": {name: dict(units) for name, units in self._units.items()},
            "forms": dict(self._forms),
            "latest": {name: moment.isoformat() for name, moment in self._latest.items()},
        }

    def merge(self, state: Mapping[str, Any]) -> None:  # Any: JSON
        """Count what `state` of other batches holds, as if they had been added here, after those that were."""
        for name, n_lost in state["lost"].items():
            self._lost[name] += n_lost
        for name, n_read in state["read"].items():
            self._read[name] += n_read
        for name, units in state["units"].items():
            self._units.setdefault(name, Counter()).update(units)
        self._forms = {**state["forms"], **self._forms}
        for name, text in state["latest"].items():
            moment = datetime.fromisoformat(text)
            self._latest[name] = max(moment, self._latest.get(name, moment))

    def check(self) -> None:
        """Raise SourceError when no value of a column can be read, or its times are of another unit than the one set.

        One message names every such column.
        """
        problems = [problem for name in self._read if (problem := self._problem(name))]
        if problems:
            raise SourceError(f"{self._where}: {'; '.join(problems)}")

    def _problem(self, name: str) -> str | None:
        column = f"{self._table}.{name}"
        if name == TIMESTAMP and _EPOCH <= self._latest.get(name, _NEVER) < _EPOCH + _FIRST_WEEKS:
            return (
                f"all {self._read[name]} times of {column} lie in January 1970 or before: the export took epoch "
                "numbers for another unit; export the numbers themselves and set "
                f'source.{self._table}.timestamp_unit = "auto"'
            )
        units = self._units.get(name, Counter())
        likely, n_likely = max(units.items(), key=lambda entry: entry[1], default=("", 0))
        wrong_unit = likely in _UNITS and likely != self._mapping.timestamp_unit and 2 * n_likely > units.total()
        if wrong_unit and self._mapping.timestamp_unit in _UNITS:
            return (
                f"{n_likely} of {units.total()} values of {column} are {_UNITS[likely]} since 1970 by their size, not "
                f"{_UNITS[self._mapping.timestamp_unit]}: {self._set_unit(likely)}"
            )
        if self._read[name] or not self._lost[name]:
            return None
        refusal = f"no value can be read as {TABLE_SCHEMAS[self._table][name]} for {column}"
        if wrong_unit:
            return f"{refusal}: they are {_UNITS[likely]} since 1970 by their size: {self._set_unit(likely)}"
        return f"{refusal}, the first has the form {self._forms[name]}; {self._advice(name)}"

    def _set_unit(self, unit: str) -> str:
        return f'set source.{self._table}.timestamp_unit = "{unit}" (or "auto") and no timestamp_format'

    def _advice(self, name: str) -> str:
        mapped = f"check source.{self._table}.columns and the separator"
        if name in self._units:
            return (
                f'{mapped}, or set source.{self._table}.timestamp_format to the pattern, such as "%d.%m.%Y %H:%M", '
                "or timestamp_unit"
            )
        if TABLE_SCHEMAS[self._table][name] == pl.Boolean:
            return f"{mapped}; answers must be yes, y, true, t, on, 1 or their opposites"
        if TABLE_SCHEMAS[self._table][name].is_numeric():
            return f'{mapped}, or set source.{self._table}.decimal = "," where numbers have a decimal comma'
        return mapped


def _units(given: pl.Series, lost: pl.Series, mapping: TableMapping) -> dict[str, int]:
    """Count the numbers by the unit of their size; where numbers are no times by the mapping, those lost alone."""
    if mapping.timestamp_unit == "auto" and not mapping.timestamp_format:
        return {}
    as_epoch = mapping.timestamp_unit != "iso" and not mapping.timestamp_format
    values = given if as_epoch else given.filter(lost)
    numbers = pl.DataFrame({"number": values.cast(pl.Float64, strict=False)}).filter(pl.col("number") != 0)
    counts = numbers.select(unit_by_size(pl.col("number")).fill_null("none").alias("unit"))["unit"].value_counts()
    return dict(counts.iter_rows())
