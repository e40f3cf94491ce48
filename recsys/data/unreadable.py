"""Values a source could not read: from the batches that name them to a list of positions beside the staged tables."""

from pathlib import Path
from typing import Final

import polars as pl

from recsys.data.tables import UNREADABLE, write_list
from recsys.schema import TableName

FILE: Final = "unreadable.parquet"
_SCHEMA: Final = {"table": pl.String(), "position": pl.Int64(), "columns": pl.String()}


def lost(frame: pl.DataFrame, column: str) -> pl.Expr:
    """Return bool per row: the column held a value there that could not be read."""
    return names(column) if UNREADABLE in frame.columns else pl.lit(False)


def names(column: str) -> pl.Expr:
    """Return bool per row: `UNREADABLE`, which must be there, names the column."""
    return pl.col(UNREADABLE).str.split(";").list.contains(column).fill_null(False)


def count_lost(frame: pl.DataFrame) -> dict[str, int]:
    """Return column -> how many of its values could not be read, for columns that have one."""
    if UNREADABLE not in frame.columns:
        return {}
    counts = frame[UNREADABLE].drop_nulls().str.split(";").explode().rename("column").value_counts().sort("column")
    return dict(counts.iter_rows())


class UnreadableRows:
    """Gathers, for the tables of one partition, which staged rows lost which columns."""

    def __init__(self) -> None:
        self._found: list[pl.DataFrame] = []

    def take(self, table: TableName, frame: pl.DataFrame, offset: int) -> pl.DataFrame:
        """Return the frame as it is staged; its first row will be row `offset` of the table."""
        if UNREADABLE not in frame.columns:
            return frame
        marked = frame.select(pl.col(UNREADABLE).alias("columns")).with_row_index("position", offset).drop_nulls()
        rows = marked.select(pl.lit(table).alias("table"), pl.col("position").cast(pl.Int64), "columns")
        self._found.append(rows)
        return frame.drop(UNREADABLE)

    def write(self, folder: Path) -> dict[str, int]:
        """Write the list, if there is anything to tell; return `table.column` -> how many values are lost."""
        rows = pl.concat(self._found) if self._found else pl.DataFrame(schema=_SCHEMA)
        if rows.is_empty():
            return {}
        write_list(folder / FILE, rows)
        each = rows.with_columns(pl.col("columns").str.split(";")).explode("columns")
        counts = each.group_by("table", "columns").len().sort("table", "columns")
        return {f"{table}.{column}": n for table, column, n in counts.iter_rows()}


def read_unreadable(folder: Path, table: TableName, offset: int, n_rows: int) -> pl.Series:
    """Return the names of what each of `n_rows` staged rows from `offset` on lost; null where nothing is."""
    empty = pl.Series(UNREADABLE, [None], dtype=pl.String).new_from_index(0, n_rows)
    if not (folder / FILE).exists():
        return empty
    inside = (pl.col("table") == table) & pl.col("position").is_between(offset, offset + n_rows, closed="left")
    found = pl.read_parquet(folder / FILE).filter(inside)
    return empty.scatter((found["position"] - offset).to_list(), found["columns"]) if len(found) else empty
