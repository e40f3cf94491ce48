"""A column of strings that costs what its texts cost, however long the longest of them is."""

from collections.abc import Iterable, Iterator
from typing import Any, Self, overload

import numpy as np
import polars as pl
from numpy.typing import NDArray

Rows = NDArray[np.integer] | NDArray[np.bool_]


class StringColumn:
    """An immutable column of n strings, held in Arrow's layout and shared with the table it came from.

    NumPy's own text is as wide in every row as in the longest; here a long title is paid for once. A missing value is
    the empty string. `column[row]` is a `str`; a slice, rows int[m] or a mask bool[n] give a `StringColumn`. Where many
    rows are walked through, `tolist` is much faster than row after row.
    """

    __slots__ = ("_series",)

    def __init__(self, strings: pl.Series) -> None:
        self._series = strings.fill_null("")

    @classmethod
    def of(cls, strings: Iterable[str | None]) -> Self:
        """Return a column of strings that are in memory already."""
        return cls(pl.Series(list(strings), dtype=pl.String))

    @property
    def nbytes(self) -> int:
        """About how many bytes the texts and their places take."""
        return int(self._series.estimated_size())

    def to_series(self, name: str = "") -> pl.Series:
        """Return the strings as a Polars series, without a copy."""
        return self._series.alias(name)

    def tolist(self) -> list[str]:
        """Return all strings."""
        return self._series.to_list()

    def __iter__(self) -> Iterator[str]:
        return iter(self.tolist())

    def __len__(self) -> int:
        return len(self._series)

    @overload
    def __getitem__(self, rows: int | np.integer) -> str: ...
    @overload
    def __getitem__(self, rows: slice | Rows) -> "StringColumn": ...
    def __getitem__(self, rows: int | np.integer | slice | Rows) -> "str | StringColumn":
        if isinstance(rows, (int, np.integer)):
            return str(self._series[int(rows)])
        if isinstance(rows, slice):
            return StringColumn(self._series[rows])
        if rows.dtype == np.bool_:
            if len(rows) != len(self):
                raise IndexError(f"a mask must have {len(self)} rows, one per string; got {len(rows)}")
            return StringColumn(self._series.filter(pl.Series(rows)))
        return StringColumn(self._series.gather(rows))

    def __eq__(self, other: object) -> bool:
        """Tell whether both hold the same strings in the same order."""
        return isinstance(other, StringColumn) and self._series.equals(other._series)

    __hash__ = None  # type: ignore[assignment]  # compared by content, like the arrays beside it

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.object_]:  # Any: NumPy's protocol
        """Return object[n] of `str`, for NumPy functions; never text of fixed width unless `dtype` says so."""
        return np.array(self.tolist(), dtype=object if dtype is None else dtype)

    def __repr__(self) -> str:
        return f"StringColumn of {len(self)} strings"
