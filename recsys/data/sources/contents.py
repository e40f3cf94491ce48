"""What the cells of a column look like: numbers, points in time, yes and no."""

import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from recsys.config import TableMapping

_ISO: Final = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.,]\d+)?)?\s*(Z|UTC|[+-]\d{2}:?(\d{2})?)?)?")
_EPOCHS: Final = {10: "s", 13: "ms", 16: "us", 19: "ns"}  # digits of a moment between 2001 and 2286
_DATES: Final = ("%d.%m.%Y", "%Y/%m/%d", "%d/%m/%Y", "%m/%d/%Y")
_PATTERNS: Final = (*(f"{day}{hour}" for day in _DATES for hour in (" %H:%M:%S", " %H:%M", "")),
                    "%Y%m%dT%H%M%SZ", "%d %b %Y", "%b %d, %Y")  # fmt: skip
_FLAGS: Final = {"0", "1", "0.0", "1.0", "true", "false", "yes", "no", "y", "n"}
_ENOUGH: Final = 0.9  # share of the cells that must look alike: a few are always broken


def distinct(cells: Sequence[str]) -> list[str]:
    """Return the different cells that are not empty, the most frequent first."""
    return [cell for cell, _ in Counter(filter(None, cells)).most_common()]


def are_numbers(cells: Sequence[str]) -> bool:
    """Return whether nearly all cells that are not empty are numbers."""
    return _mostly([re.fullmatch(r"[+-]?\d+([.,]\d+)?(e[+-]?\d+)?", cell, re.IGNORECASE) is not None
                    for cell in cells if cell])  # fmt: skip


def is_flag(cells: Sequence[str]) -> bool:
    """Return whether only words for yes and no stand in a column, and at least one."""
    return bool(found := {cell.lower() for cell in distinct(cells)}) and found <= _FLAGS


def are_moments(cells: Sequence[str], *, named: bool = False) -> bool:
    """Return whether nearly all cells that are not empty are points in time of one way to write them.

    Nine digits are seconds before 2001 only in a column that is `named` as a time: ids may have as many.
    """
    return _way(cells, named=named) is not None


def timestamp_settings(columns: Sequence[Sequence[str]]) -> dict[str, tuple[object, str]]:
    """Return the settings that read these columns of times, each with why; none for ISO 8601."""
    ways = {way for cells in columns if (way := _way(cells, named=True))}
    if not ways - {"iso"}:
        return {}
    if len(ways) == 1 and (way := next(iter(ways))) in _EPOCHS.values():
        return {"timestamp_unit": (way, f"numbers of {next(n for n, unit in _EPOCHS.items() if unit == way)} digits")}
    patterns = sorted(way for way in ways if way.startswith("%"))
    if patterns and "timestamp_format" in TableMapping.model_fields:
        return {"timestamp_format": (patterns, "all times of the sample are written so; day and month may be swapped")}
    unit = "auto" if "auto" in str(TableMapping.model_fields["timestamp_unit"].annotation) else "iso"
    return {"timestamp_unit": (unit, "times are written in several ways: check")}


def _way(cells: Sequence[str], *, named: bool) -> str | None:
    """Return "iso", a unit of epoch numbers or a pattern; None for no point in time."""
    found = [cell for cell in cells if cell]
    if _mostly([_ISO.fullmatch(cell) is not None for cell in found]):
        return "iso"
    digits = Counter(len(cell.split(".")[0]) for cell in found if re.fullmatch(r"\d+(\.\d+)?", cell))
    if named:
        digits[10] += digits.pop(9, 0)
    for n, unit in _EPOCHS.items():
        if found and digits[n] >= _ENOUGH * len(found):
            return unit
    return next((each for each in _PATTERNS if _mostly([_reads(cell, each) for cell in found[:200]])), None)


def _reads(cell: str, pattern: str) -> bool:
    try:
        datetime.strptime(cell, pattern)
    except ValueError:
        return False
    return True


def _mostly(hits: list[bool]) -> bool:
    return bool(hits) and sum(hits) >= _ENOUGH * len(hits)
