"""CSV, Parquet and JSON lines files, local or on any fsspec file system."""

import csv
import io
import re
import zlib
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import cached_property
from typing import BinaryIO, cast

import fsspec
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from recsys.config import FilesBeside, FilesSource, TableMapping
from recsys.data.outlying import MAX_GAP_DAYS, events_per_day
from recsys.data.sources.columns import column_problems
from recsys.data.sources.mapping import conform, identified
from recsys.data.sources.readability import Readability
from recsys.data.sources.scanned import FileScan, ScannedFiles, stamp_of
from recsys.data.sources.source import DATED, arrived, at_no_time, history, of_interval, untimed_day
from recsys.errors import ConfigError, SourceError
from recsys.schema import PUBLISHED_AT, SIGNED_UP_AT, TIMESTAMP, TableName

_ROWS = 200_000  # rows of Parquet or JSON lines a batch
_CSV_BYTES = 32 * 2**20
_UNREADABLE = (pa.ArrowException, pl.exceptions.PolarsError, OSError, EOFError, zlib.error, UnicodeError, csv.Error)


class FilesReader:
    """A source of files; every file is read in batches, so memory does not grow with the data."""

    def __init__(self, settings: FilesSource, max_gap_days: int = MAX_GAP_DAYS, scans: str = "") -> None:
        """Read the files of `settings`; what was found in each file of events is kept in the folder `scans`, if any."""
        self._max_gap_days = max_gap_days
        self._tables: dict[TableName, TableMapping] = {
            "interactions": settings.interactions,
            "users": settings.users,
            "items": settings.items,
        }
        # Beside an event log only users and items are read; then there are no events to take the interval from.
        self._untimed = settings.interactions.timestamps == "none" or isinstance(settings, FilesBeside)
        self._scans = scans
        self._checked = False

    @cached_property
    def _days(self) -> dict[str, Counter[date]]:
        """How many events of each file happened on which day; only files that are new or changed are read."""
        mapping = self._mapping("interactions")
        known, readability = ScannedFiles(self._scans, mapping), Readability("interactions", mapping.uri, mapping)
        scans: dict[str, FileScan] = {}
        for file in open_files(mapping.uri):
            stamp = stamp_of(file)
            scan = scans[file.path] = known.find(file, stamp) or self._scan(file, mapping)
            readability.merge(scan.readability)
            known.keep(file, stamp, scan)
        self._refuse_empty("interactions", sum(scan.n_rows for scan in scans.values()))
        readability.check()
        known.save()  # not before: files that were refused are read again
        return {path: scan.days for path, scan in scans.items() if scan.n_rows}

    def _scan(self, file: fsspec.core.OpenFile, mapping: TableMapping) -> FileScan:
        readability, days, n_rows = Readability("interactions", mapping.uri, mapping), Counter[date](), 0
        for raw in file_batches(file, mapping):
            n_rows += len(raw)
            days.update(events_per_day(conform(raw, mapping, "interactions", file.path, readability)[TIMESTAMP]))
        return FileScan(n_rows, days, readability.state())

    def _check_mappings(self) -> None:
        """Raise SourceError naming every mapping that does not fit the first of its files; looks once."""
        if self._checked:
            return
        problems = []
        for table, mapping in self._tables.items():
            try:
                if mapping.uri and (found := _columns(open_files(mapping.uri)[0], mapping)):
                    problems += column_problems(found, mapping, table, mapping.uri)
            except SourceError as error:
                problems.append(str(error))
        if problems:
            raise SourceError("; ".join(problems))
        self._checked = True

    @cached_property
    def _interval(self) -> tuple[datetime, datetime]:
        if self._untimed:
            return untimed_day(batch[column].max() for table, column in DATED.items() for _, batch in self._read(table))
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
        if start > whole[0] and not self._untimed:
            first, last = start.astimezone(UTC).date(), end.astimezone(UTC).date()
            elsewhere = {path for path, days in self._days.items() if not any(first <= day <= last for day in days)}
        for _, batch in self._read("interactions", elsewhere):
            events = identified(of_interval(batch, start, end, whole))
            yield at_no_time(events, whole[1]) if self._untimed else events

    def _read(self, table: TableName, without: Collection[str] = ()) -> Iterator[tuple[str, pl.DataFrame]]:
        mapping = self._mapping(table)
        if not mapping.uri:
            return
        readability, n_rows = Readability(table, mapping.uri, mapping), 0
        for file in open_files(mapping.uri):
            if file.path in without:
                continue
            for raw in file_batches(file, mapping):
                n_rows += len(raw)
                yield file.path, conform(raw, mapping, table, file.path, readability)
        if not without:
            self._refuse_empty(table, n_rows)
            readability.check()

    def _mapping(self, table: TableName) -> TableMapping:
        """Return a table's mapping, once all of them are known to fit their files; one without address is not read."""
        mapping = self._tables[table]
        if not mapping.uri and table == "interactions":
            raise ConfigError("source.interactions.uri is empty; say which files hold the interactions")
        if mapping.uri:
            self._check_mappings()
        return mapping

    def _refuse_empty(self, table: TableName, n_rows: int) -> None:
        if not n_rows:
            uri = self._tables[table].uri
            raise SourceError(f"{uri} has no rows for {table}; check the export, or leave the table out")


def open_files(uri: str) -> list[fsspec.core.OpenFile]:
    """Return the files at an address or of a glob, sorted by name; raise SourceError when there is none."""
    try:
        filesystem, path = fsspec.core.url_to_fs(uri)
        if not any(mark in path for mark in "*?[") and not filesystem.exists(path):
            raise FileNotFoundError(uri)
        files = list(fsspec.open_files(uri, "rb", compression="infer"))
    except (OSError, ValueError, ImportError) as error:
        raise SourceError(f"cannot open {uri}: {error}; check the address and its permissions") from None
    if not files:
        raise SourceError(f"no file matches {uri}; check the address")
    return sorted(files, key=lambda file: str(file.path))


def _columns(file: fsspec.core.OpenFile, mapping: TableMapping) -> list[str]:
    """Return the names of a file's columns; none for a file without rows."""
    if file_format(file.path, mapping) != "csv":
        return next((batch.columns for batch in file_batches(file, mapping)), [])
    with _readable(file, "csv"), file as stream:
        first = _first_row(stream, mapping)
    return first if mapping.header else [str(place) for place in range(len(first))]


def file_batches(file: fsspec.core.OpenFile, mapping: TableMapping) -> Iterator[pl.DataFrame]:
    """Yield a file's rows in batches, CSV cells as text; raise SourceError where it cannot be read."""
    kind = file_format(file.path, mapping)
    if kind != "csv" and not mapping.header:
        raise ConfigError(f"header = false is for CSV files; {file.path} is read as {kind}, whose columns have names")
    readers = {"csv": _csv, "parquet": _parquet, "jsonl": _json_lines}
    with _readable(file, kind), file as stream:
        yield from readers[kind](stream, mapping)


@contextmanager
def _readable(file: fsspec.core.OpenFile, kind: str) -> Iterator[None]:
    """Turn what goes wrong while a file is read into SourceError."""
    try:
        yield
    except _UNREADABLE as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise SourceError(
            f"cannot read {file.path} as {kind}: {reason}; export it again, or set format, separator, quote or encoding"
        ) from None


def file_format(path: str, mapping: TableMapping) -> str:
    """Return csv, parquet or jsonl, as the mapping or the file's name says; raise SourceError when neither does."""
    if mapping.format != "auto":
        return mapping.format
    name = re.sub(r"\.(gz|bz2|xz|zst)$", "", path.lower())
    for ending, kind in ((".csv", "csv"), (".tsv", "csv"), (".parquet", "parquet"), (".jsonl", "jsonl"),
                         (".ndjson", "jsonl")):  # fmt: skip
        if name.endswith(ending):
            return kind
    raise SourceError(
        f"cannot tell the format of {path} from its name (a folder is read as folder/*.csv); set format to "
        "csv, parquet or jsonl"
    )


def _csv(stream: io.BufferedIOBase, mapping: TableMapping) -> Iterator[pl.DataFrame]:
    first = _first_row(stream, mapping)
    if not first:
        return
    names = first if mapping.header else [str(place) for place in range(len(first))]
    reader = pyarrow.csv.open_csv(
        stream,
        read_options=pyarrow.csv.ReadOptions(
            encoding=mapping.encoding, block_size=_CSV_BYTES, column_names=None if mapping.header else names
        ),
        parse_options=pyarrow.csv.ParseOptions(
            delimiter=mapping.separator,
            quote_char=mapping.quote or False,
            escape_char=mapping.escape or False,
            newlines_in_values=True,
        ),
        # Every column is text: the contract, not a guess from the first rows, says what it means.
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
        ),
    )
    for batch in reader:
        yield pl.DataFrame(pl.from_arrow(pa.Table.from_batches([batch])))


def _first_row(stream: io.BufferedIOBase, mapping: TableMapping) -> list[str]:
    """Return the cells of the first row that is not blank, and go back to the start; none for an empty file."""
    lines = io.TextIOWrapper(cast(BinaryIO, stream), encoding=mapping.encoding, newline="")
    try:
        rows = csv.reader(
            lines,
            delimiter=mapping.separator,
            quotechar=mapping.quote or None,
            escapechar=mapping.escape or None,
            quoting=csv.QUOTE_MINIMAL if mapping.quote else csv.QUOTE_NONE,
        )
        row = next(filter(None, rows), [])
    finally:
        lines.detach()
        stream.seek(0)
    return [row[0].lstrip("\ufeff"), *row[1:]] if row else []


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
