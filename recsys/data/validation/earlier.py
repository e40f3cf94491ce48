"""What a partition is compared with: the good rows of the partitions before it, of this run or published."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from recsys.config import Config
from recsys.data.validation.staged import Staged
from recsys.schema import TABLES, TableName
from recsys.storage import intact, join, list_names, local_path

LOOK_BACK: Final = 7  # partitions: a week holds every weekday
_ROW: Final = "_row"


@dataclass(frozen=True)
class GoodRows:
    """A partition's tables without the rows that quarantine holds; `bad` are their positions by table."""

    name: str
    folder: Path
    bad: Mapping[TableName, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, staged: Staged) -> "GoodRows":
        """Return what a partition's snapshot will hold once its rows are checked."""
        return cls(staged.name, staged.folder, {table: staged.bad_positions(table) for table in TABLES})

    def scan(self, table: TableName) -> pl.LazyFrame:
        """Return one table, to be read column by column."""
        rows = pl.scan_parquet(self.folder / f"{table}.parquet")
        bad = self.bad.get(table, ())
        if not len(bad):
            return rows
        positions = pl.Series(bad, dtype=pl.UInt32).implode()
        return rows.with_row_index(_ROW).filter(~pl.col(_ROW).is_in(positions)).drop(_ROW)


class Earlier:
    """Finds the partitions before another one: a partition of the same run counts as it is now, not as published."""

    def __init__(self, config: Config) -> None:
        self._base = join(config.storage, "snapshots")
        self._this_run: dict[str, GoodRows] = {}
        self._published: dict[str, GoodRows | None] = {}

    def add(self, rows: GoodRows) -> None:
        """Remember a partition of this run for those after it."""
        self._this_run[rows.name] = rows

    def before(self, name: str, n: int = LOOK_BACK) -> list[GoodRows]:
        """Return up to `n` partitions before `name`, the nearest first; a damaged snapshot counts as missing."""
        names = {other for other in (*list_names(self._base), *self._this_run) if other < name and other[:1].isdigit()}
        found: list[GoodRows] = []
        for other in sorted(names, reverse=True) if name[:1].isdigit() else []:
            rows = self._this_run.get(other) or self.published(other)
            found += [rows] if rows else []
            if len(found) == n:
                break
        return found

    def published(self, name: str) -> GoodRows | None:
        """Return the snapshot that is in force for a partition, or None."""
        if name not in self._published:
            uri = intact(join(self._base, name))
            self._published[name] = GoodRows(name, local_path(uri)) if uri else None
        return self._published[name]
