"""CSV, Parquet and JSON lines files, local or on any fsspec file system."""

import csv
import io
import re
import zlib
from collections import Counter
from collections.abc import Collection, Iterator
from datetime import UTC, date, datetime
from functools import cached_property

import fsspec
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from recsys.config import FilesSource, TableMapping
from recsys.data.outlying import MAX_GAP_DAYS, events_per_day
from recsys.data.sources.mapping import conform, identified
from recsys.data.sources.readability import Readability
from recsys.data.sources.source import arrived, history, of_interval
from recsys.errors import ConfigError, SourceError
from recsys.schema import PUBLISHED_AT, SIGNED_UP_AT, TIMESTAMP, TableName

_ROWS = 200_000  # rows of Parquet or JSON lines a batch
_CSV_BYTES = 32 * 2**20


class FilesReader:
    """A source of files; every file is read in batches, so memory does not grow with the data."""

    def __init__(self, settings: FilesSource, max_gap_days: int = MAX_GAP_DAYS) -> None:
        self._max_gap_days = max_gap_days
        self._tables: dict[TableName, TableMapping] = {
            "interactions": settings.interactions,
            "users": settings.users,
            "items": settings.items,
        }

    @cached_property
    def _days(self) -> dict[str, Counter[date]]:
        """How many events of each file happened on which day."""
        days: dict[str, Counter[date]] = {}
        for path, batch in self._read("interactions"):
            days.setdefault(path, Counter()).update(events_per_day(batch[TIMESTAMP]))
        return days

    @cached_property
    def _interval(self) -> tuple[datetime, datetime]:
        together = sum(self._days.values(), Counter())
        return history(together, self._max_gap_days, self._tables["interactions"].uri)

    def interval(self) -> tuple[datetime, datetime]:
        """Return the days of the events; reads them once."""
        return self._interval

    def users(self, start: datetime, end: datetime) -> Iterator[pl.DataFrame]:
        """Yield users who signed up in `[start, end)`."""
        for _, batch in self._read("users"):
            yield arrived(batch, SIGNED_UP_AT, start, end, self._interval[0])

    def items(self, start: datetime, end: datetime) -> Iterator[pl.DataFrame]:
        """Yield items published in `[start, end)`."""
        for _, batch in self._read("items"):
            yield arrived(batch, PUBLISHED_AT, start, end, self._interval[0])

    def interactions(self, start: datetime, end: datetime) -> Iterator[pl.DataFrame]:
        """Yield events of `[start, end)`; files that hold none of them are not read again."""
        whole = self._interval
        elsewhere: set[str] = set()
        if start > whole[0]:
            first, last = start.astimezone(UTC).date(), end.astimezone(UTC).date()
            elsewhere = {path for path, days in self._days.items() if not any(first <= day <= last for day in days)}
        for _, batch in self._read("interactions", elsewhere):
            yield identified(of_interval(batch, start, end, whole))

    def _read(self, table: TableName, without: Collection[str] = ()) -> Iterator[tuple[str, pl.DataFrame]]:
        mapping = self._tables[table]
        if not mapping.uri:
            if table == "interactions":
                raise ConfigError("source.interactions.uri is empty; say which files hold the interactions")
            return
        readability, n_rows = Readability(table, mapping.uri, mapping), 0
        for file in _open_files(mapping.uri):
            if file.path in without:
                continue
            for raw in _batches(file, mapping):
                n_rows += len(raw)
                yield file.path, conform(raw, mapping, table, file.path, readability)
        if not n_rows and not without:
            raise SourceError(f"{mapping.uri} has no rows for {table}; check the export, or leave the table out")
        if not without:
            readability.check()


def _open_files(uri: str) -> list[fsspec.core.OpenFile]:
    try:
        filesystem, path = fsspec.core.url_to_fs(uri)
        if not any(mark in path for mark in "*?[") and not filesystem.exists(path):
            raise FileNotFoundError(uri)
        files = list(fsspec.open_files(uri, "rb", compression="infer"))
    except (OSError, ValueError, ImportError) as error:
        raise SourceError(f"cannot open {uri}: {error}; check the address and its permissions") from error
    if not files:
        raise SourceError(f"no file matches {uri}; check the address")
    return sorted(files, key=lambda file: str(file.path))


def _batches(file: fsspec.core.OpenFile, mapping: TableMapping) -> Iterator[pl.DataFrame]:
    kind = _format(file.path, mapping)
    readers = {"csv": _csv, "parquet": _parquet, "jsonl": _json_lines}
    try:
        with file as stream:
            yield from readers[kind](stream, mapping)
    except (pa.ArrowException, pl.exceptions.PolarsError, OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise SourceError(f"cannot read {file.path} as {kind}: {reason}; export it again or set format") from None


def _format(path: str, mapping: TableMapping) -> str:
    if mapping.format != "auto":
        return mapping.format
    name = re.sub(r"\.(gz|bz2|xz|zst)$", "", path.lower())
    for ending, kind in ((".csv", "csv"), (".tsv", "csv"), (".parquet", "parquet"), (".jsonl", "jsonl"),
                         (".ndjson", "jsonl")):  # fmt: skip
        if name.endswith(ending):
            return kind
    raise SourceError(f"cannot tell the format of {path} from its name; set format to csv, parquet or jsonl")


def _csv(stream: io.BufferedIOBase, mapping: TableMapping) -> Iterator[pl.DataFrame]:
    if not stream.read(1):
        return
    stream.seek(0)
    reader = pyarrow.csv.open_csv(
        stream,
        read_options=pyarrow.csv.ReadOptions(encoding=mapping.encoding, block_size=_CSV_BYTES),
        parse_options=pyarrow.csv.ParseOptions(delimiter=mapping.separator, newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=_text_types(stream, mapping), strings_can_be_null=True, null_values=[""]
        ),
    )
    for batch in reader:
        yield pl.DataFrame(pl.from_arrow(pa.Table.from_batches([batch])))


def _text_types(stream: io.BufferedIOBase, mapping: TableMapping) -> dict[str, pa.DataType]:
    """Read every CSV column as text: the contract, not a guess from the first rows, says what it means."""
    header = stream.readline().decode(mapping.encoding).lstrip("\ufeff")
    stream.seek(0)
    return dict.fromkeys(next(csv.reader([header], delimiter=mapping.separator)), pa.string())


def _parquet(stream: io.BufferedIOBase, _: TableMapping) -> Iterator[pl.DataFrame]:
    for batch in pyarrow.parquet.ParquetFile(stream).iter_batches(batch_size=_ROWS):
        yield pl.DataFrame(pl.from_arrow(pa.Table.from_batches([batch])))


def _json_lines(stream: io.BufferedIOBase, _: TableMapping) -> Iterator[pl.DataFrame]:
    known: list[str] = []  # a key that all rows of a batch leave out is null there, not unknown
    while lines := list(_take(stream, _ROWS)):
        batch = pl.read_ndjson(io.BytesIO(b"".join(lines)), infer_schema_length=None)
        yield batch.with_columns(pl.lit(None).alias(name) for name in known if name not in batch.columns)
        known = [*known, *(name for name in batch.columns if name not in known)]


def _take(stream: io.BufferedIOBase, n: int) -> Iterator[bytes]:
    for _, line in zip(range(n), stream, strict=False):
        if line.strip():
            yield line
