"""Staged partitions as the checks see them: pieces of bounded size, and what was found in them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydantic import JsonValue

from recsys.data.outlying import events_per_day
from recsys.data.tables import n_rows
from recsys.data.unreadable import read_unreadable
from recsys.data.validation.rules import Context, first_rows
from recsys.errors import StorageError
from recsys.schema import EVENT, EVENT_ID, ITEM_ID, TABLES, TIMESTAMP, USER_ID, TableName
from recsys.storage import current, join, local_path, verify


@dataclass
class Staged:
    """One staged partition and the positions of its bad rows by table and rule."""

    name: str
    uri: str
    start: datetime
    end: datetime
    counts: dict[str, int]
    info: dict[str, JsonValue]
    is_newer: bool = False
    """Whether it was loaded after the run whose partition is validated."""
    bad: dict[TableName, dict[str, list[np.ndarray]]] = field(default_factory=dict)
    newest: datetime | None = None

    @classmethod
    def of(cls, root: str, partition: dict[str, Any]) -> "Staged":  # Any: JSON
        """Read what is staged for a partition now: a later load takes the place of what ingestion once returned.

        Raises StorageError when nothing is staged any more or a file is not what was written.
        """
        name = str(partition["partition"])
        uri = current(join(root, "staging", name))
        if uri is None:
            raise StorageError(f"nothing is staged for {name} below {root}; load it again, from ingest")
        info = verify(uri).info
        start, end = (datetime.fromisoformat(str(info[edge])) for edge in ("start", "end"))
        is_newer = not str(partition["staged"]).endswith(uri.rsplit("/", 1)[-1])
        return cls(name, uri, start, end, dict(info["counts"]), info, is_newer)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        self.folder: Path = local_path(self.uri)
        self._context: Context | None = None
        self._first: dict[TableName, pl.Series] = {}
        self.rows: dict[TableName, int] = {table: n_rows(self.path(table)) for table in TABLES}

    def path(self, table: TableName) -> Path:
        """Return the table's local Parquet file."""
        return self.folder / f"{table}.parquet"

    def columns(self, table: TableName) -> tuple[str, ...]:
        """Return the names of a table's columns, extra ones among them."""
        return tuple(pl.read_parquet_schema(self.path(table)))

    def context(self, table: TableName) -> Context:
        """Return what the rows are checked against: the partition is self-contained, so only its own tables.

        Items must be checked before interactions: an item without a good row is unknown, lest its events bring it back
        without its dates.
        """
        if table != "interactions":
            return Context(self.start, self.end, None, None)
        if self._context is None:
            users = pl.read_parquet(self.path("users"), columns=[USER_ID])[USER_ID] if self.info["has_users"] else None
            items = self._good_items() if self.info["has_items"] else None
            moments = pl.read_parquet(self.path("interactions"), columns=[TIMESTAMP])[TIMESTAMP]
            self._context = Context(self.start, self.end, users, items, events_per_day(moments))
        return self._context

    def _good_items(self) -> pl.Series:
        items = pl.read_parquet(self.path("items"), columns=[ITEM_ID])[ITEM_ID]
        good = np.ones(len(items), dtype=bool)
        good[self.bad_positions("items")] = False
        return items.filter(pl.Series(good, dtype=pl.Boolean))

    def first(self, table: TableName) -> pl.Series:
        """Tell for each row of the table whether it is the first of its kind in the whole partition."""
        if table == "interactions" and self.info.get("time") == "unknown":
            return pl.repeat(True, self.rows[table], eager=True)  # without times one event twice may be two
        if table not in self._first:
            keys = [EVENT_ID, USER_ID, ITEM_ID, EVENT, TIMESTAMP] if table == "interactions" else [_key(table)]
            self._first[table] = first_rows(pl.scan_parquet(self.path(table)).select(keys), table)
        return self._first[table]

    def unreadable(self, table: TableName, offset: int, n_rows: int) -> pl.Series:
        """Return what each of `n_rows` rows from `offset` on lost when its source was read; null for nothing."""
        return read_unreadable(self.folder, table, offset, n_rows)

    def release(self) -> None:
        """Forget what only the checks of rows need, once they are done."""
        self._context = None
        self._first.clear()

    def note(self, table: TableName, rule: str, positions: np.ndarray) -> None:
        """Remember that the rows at these positions of the partition break a rule."""
        if len(positions):
            self.bad.setdefault(table, {}).setdefault(rule, []).append(positions)

    def bad_positions(self, table: TableName) -> np.ndarray:
        """Return the sorted positions of all bad rows of a table."""
        found = [positions for lists in self.bad.get(table, {}).values() for positions in lists]
        return np.unique(np.concatenate(found)) if found else np.zeros(0, dtype=np.int64)

    def worst(self, table: TableName) -> tuple[str, int]:
        """Return the rule that most rows of a table break, and how many do; the first one in a tie."""
        sizes = {rule: sum(map(len, lists)) for rule, lists in self.bad[table].items()}
        return max(sizes.items(), key=lambda entry: entry[1])

    def reasons(self, table: TableName) -> pl.DataFrame:
        """Return one row per bad row: its position, and `table.rule` joined by `; ` where it breaks several."""
        parts = [
            pl.DataFrame({"position": np.concatenate(lists), "reason": f"{table}.{rule}"})
            for rule, lists in self.bad.get(table, {}).items()
        ]
        if not parts:
            return pl.DataFrame(schema={"position": pl.Int64, "reason": pl.String})
        grouped = pl.concat(parts).group_by("position", maintain_order=True).agg(pl.col("reason").str.join("; "))
        return grouped.with_columns(pl.col("position").cast(pl.Int64)).sort("position")


@dataclass(frozen=True)
class Piece:
    """Some consecutive events of a partition; `first` and `last` mark the ends of the partition."""

    staged: Staged
    offset: int
    n_rows: int

    @property
    def is_first(self) -> bool:
        """Whether the piece begins its partition."""
        return self.offset == 0

    @property
    def is_last(self) -> bool:
        """Whether the piece ends its partition."""
        return self.offset + self.n_rows >= self.staged.rows["interactions"]


def batches(partitions: list[Staged], batch_rows: int) -> Iterator[list[Piece]]:
    """Group consecutive partitions, or cut a large one, into batches of at most `batch_rows` events."""
    waiting: list[Piece] = []
    for staged in partitions:
        total = staged.rows["interactions"]
        for offset in range(0, max(total, 1), batch_rows):
            piece = Piece(staged, offset, min(batch_rows, total - offset))
            if waiting and sum(p.n_rows for p in waiting) + piece.n_rows > batch_rows:
                yield waiting
                waiting = []
            waiting.append(piece)
    if waiting:
        yield waiting


def _key(table: TableName) -> str:
    return USER_ID if table == "users" else ITEM_ID
