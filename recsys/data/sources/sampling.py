"""The first rows of a file nobody has described yet: how it is written, and its columns as text."""

import csv
import io
from collections import Counter
from dataclasses import dataclass
from typing import Final

import polars as pl

from recsys.config import TableMapping
from recsys.data.sources.columns import LIKE_A_VALUE
from recsys.data.sources.files import file_batches, file_format, open_files
from recsys.errors import SourceError

_BYTES: Final = 1 << 20  # of a text file; some thousand rows tell how it is written
_ROWS: Final = 5_000
_SEPARATORS: Final = (",", "\t", ";", "|")


@dataclass(frozen=True)
class Sample:
    """A file's first rows. `settings` are those of a `TableMapping` that read it, each with why."""

    uri: str
    columns: dict[str, list[str]]
    lists: frozenset[str]
    settings: dict[str, tuple[object, str]]

    @property
    def names(self) -> list[str]:
        """Return the names of the columns in the file's order."""
        return list(self.columns)


def sample(uri: str) -> Sample:
    """Read the first rows of the first file at an address; raise SourceError when there is none or no row in it."""
    file = open_files(uri)[0]
    settings: dict[str, tuple[object, str]] = {}
    try:
        kind = file_format(file.path, TableMapping())
    except SourceError:
        kind, settings["format"] = "csv", ("csv", "the name does not tell; it is read as text")
    if kind != "csv":
        first = next((batch.head(_ROWS) for batch in file_batches(file, TableMapping())), pl.DataFrame())
        if first.is_empty():
            raise SourceError(f"{uri} has no rows; check the address")
        lists = frozenset(name for name, dtype in first.schema.items() if isinstance(dtype, pl.List))
        return Sample(uri, {name: _texts(first[name]) for name in first.columns}, lists, settings)
    try:
        with file as stream:
            content = stream.read(_BYTES)
    except (OSError, EOFError) as error:
        raise SourceError(f"cannot read {uri}: {str(error)[:200]}; check the address and its permissions") from None
    try:
        return _of_text(uri, content, settings, whole=len(content) < _BYTES)
    except (UnicodeError, csv.Error) as error:
        raise SourceError(f"cannot read {uri} as csv: {str(error)[:200]}; check that it is a text file") from error


def _of_text(uri: str, content: bytes, settings: dict[str, tuple[object, str]], *, whole: bool) -> Sample:
    encoding = _encoding(content)
    text = content.decode(encoding, errors="ignore").lstrip("\ufeff")
    if encoding != "utf8":
        settings["encoding"] = encoding, "the bytes are no UTF-8"
    if not whole:
        text = text[: text.rfind("\n") + 1]  # the last line is cut
    separator, escape = _separator(text), "\\" if '\\"' in text else ""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, escapechar=escape or None)
    rows = [row for _, row in zip(range(_ROWS), filter(None, reader), strict=False)]
    if not rows:
        raise SourceError(f"{uri} has no rows; check the address")
    if separator != ",":
        settings["separator"] = separator, "it divides the most lines alike"
    if escape:
        settings["escape"] = escape, "a backslash stands before quotes"
    names = rows[0]
    if not _is_header(rows):
        names = [str(place) for place in range(len(rows[0]))]
        settings["header"] = False, "the first row looks like data; columns are named by place, from 0"
        rows = [names, *rows]
    if len(rows) == 1:
        raise SourceError(f"{uri} has a header and no rows; check the export")
    whole_rows = [row for row in rows[1:] if len(row) == len(names)]
    return Sample(uri, {name: [row[i].strip() for row in whole_rows] for i, name in enumerate(names)}, frozenset(),
                  settings)  # fmt: skip


def _encoding(content: bytes) -> str:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    try:
        content[: len(content) - 4].decode("utf8") if len(content) >= _BYTES else content.decode("utf8")
    except UnicodeDecodeError as error:
        if error.start < len(content) - 8:
            return "latin-1"  # any bytes are: letters may still be wrong, rows are not lost
    return "utf8"


def _separator(text: str) -> str:
    """Return what divides most lines into the same number of cells, the more the better."""
    lines = text.splitlines()[:200]

    def evenness(separator: str) -> tuple[float, int]:
        widths = Counter(len(row) for row in csv.reader(lines, delimiter=separator) if row)
        width, n = widths.most_common(1)[0] if widths else (1, 0)
        return (0.0, 0) if width == 1 else (round(n / max(sum(widths.values()), 1), 1), width)

    return max(_SEPARATORS, key=evenness)


def _is_header(rows: list[list[str]]) -> bool:
    first = [cell.strip() for cell in rows[0]]
    named = all(first) and len(set(first)) == len(first) and not any(LIKE_A_VALUE.fullmatch(cell) for cell in first)
    others = [row for row in rows[1:] if [cell.strip() for cell in row] != first]  # joined files repeat their header
    return named and not any(
        row[place].strip() == cell for row in others for place, cell in enumerate(first[: len(row)])
    )


def _texts(column: pl.Series) -> list[str]:
    if isinstance(column.dtype, pl.List):
        return ["|".join(map(str, cell)) if cell is not None else "" for cell in column.to_list()]
    if column.dtype.is_nested() or column.dtype == pl.Object:
        return ["{}"] * len(column)
    return column.cast(pl.String, strict=False).fill_null("").to_list()
