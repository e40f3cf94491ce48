"""Tables on disk: the contract's columns, and Parquet files whose bytes depend on the rows alone."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.errors import DataError
from recsys.schema import EVENT, EVENT_ID, ITEM_ID, TIMESTAMP, VALUE

UNREADABLE: Final = "_unreadable"  # beside the contract: the row's columns whose value could not be read, by ";"
CHANGED_AT: Final = "_changed_at"  # beside the contract: when a row of users or items came to the source
_ROW_GROUP: Final = 131_072  # 2^17 rows: about 20 MB of events, small beside any batch


def write_list(path: Path, frame: pl.DataFrame) -> None:
    """Write a short list of rows as Parquet; raise OSError where Polars' own writer hides it in an error of its own."""
    pq.write_table(frame.to_arrow(), path, compression="zstd", write_statistics=False)


def present(column: str) -> pl.Expr:
    """Return whether a text is there: neither null nor empty."""
    return pl.col(column).is_not_null() & (pl.col(column) != "")


# Without these an event says nothing: the loop quarantines one that breaks them, a backtest refuses it.
EVENT_RULES: Final = {
    "item_id_present": present(ITEM_ID),
    "timestamp_present": pl.col(TIMESTAMP).is_not_null(),
    "rating_has_value": (pl.col(EVENT) != "rating") | pl.col(VALUE).is_not_null(),
}


def to_contract(frame: pl.DataFrame, schema: Mapping[str, pl.DataType], table: str) -> pl.DataFrame:
    """Return the contract's columns in their order and types, then the extra ones.

    Raises DataError naming the columns that are missing or have another type; never a value of theirs.
    """
    missing = [name for name in schema if name not in frame.columns]
    if missing:
        raise DataError(f"{table} must have the columns {', '.join(schema)}; missing: {', '.join(missing)}")
    extra = [name for name in frame.columns if name not in schema]
    try:
        return frame.select(*[pl.col(name).cast(dtype) for name, dtype in schema.items()], *extra)
    except pl.exceptions.PolarsError:
        wrong = [
            f"{name} is {frame.schema[name]}, not {dtype}"
            for name, dtype in schema.items()
            if frame.schema[name] != dtype
        ]
        raise DataError(f"{table} has columns of the wrong type: {'; '.join(wrong)}") from None


def collect(batches: Iterable[pl.DataFrame], schema: Mapping[str, pl.DataType], table: str) -> pl.DataFrame:
    """Return all batches as one frame in the contract's form; an empty frame when there are none."""
    frames = [to_contract(batch, schema, table) for batch in batches]
    return pl.concat(frames) if frames else pl.DataFrame(schema=dict(schema))


class TableWriter:
    """Writes frames to one Parquet file; its row groups do not depend on how the rows came in batches."""

    def __init__(self, path: Path, schema: Mapping[str, pl.DataType]) -> None:
        self.n_rows = 0
        self._path = path
        self._empty = pl.DataFrame(schema=dict(schema))
        self._waiting: list[pl.DataFrame] = []
        self._n_waiting = 0
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self._flush(everything=True)
        if self._writer is not None:
            self._writer.close()

    def write(self, frame: pl.DataFrame) -> None:
        """Append rows; whole row groups go to disk at once."""
        if frame.is_empty() and self._n_waiting:
            return
        self._waiting.append(frame)
        self._n_waiting += len(frame)
        self.n_rows += len(frame)
        if self._n_waiting >= _ROW_GROUP:
            self._flush(everything=False)

    def _flush(self, *, everything: bool) -> None:
        rows = pl.concat(self._waiting) if self._waiting else self._empty
        cut = len(rows) if everything else len(rows) - len(rows) % _ROW_GROUP
        if cut or self._writer is None:
            for offset in range(0, max(cut, 1), _ROW_GROUP):
                self._append(rows.slice(offset, min(_ROW_GROUP, cut - offset)))
        rest = rows.slice(cut)
        self._waiting, self._n_waiting = ([rest] if len(rest) else []), len(rest)

    def _append(self, rows: pl.DataFrame) -> None:
        table = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
        if self._writer is None:
            repeated = [name for name in table.schema.names if name != EVENT_ID]  # distinct values fill a dictionary
            self._writer = pq.ParquetWriter(self._path, table.schema, compression="zstd", use_dictionary=repeated)
        self._writer.write_table(table.cast(self._writer.schema), row_group_size=_ROW_GROUP)


def read_pieces(path: Path, rows: int = _ROW_GROUP) -> Iterator[tuple[int, pl.DataFrame]]:
    """Yield (offset, frame) pieces of a Parquet file, so that a file of any size fits."""
    offset = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=rows):
            frame = pl.DataFrame(pl.from_arrow(pa.Table.from_batches([batch])))
            yield offset, frame
            offset += len(frame)


def n_rows(path: Path) -> int:
    """Return a Parquet file's row count from its footer."""
    return int(pq.read_metadata(path).num_rows)
