"""What was found in each file of events, kept between runs so that only new and changed files are read for it again."""

from collections import Counter
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from typing import Any, Final

import fsspec
from pydantic import JsonValue

from recsys.config import TableMapping
from recsys.errors import StorageError
from recsys.storage import digest_of, exists, join, read_json, write_json

_FORMAT: Final = 1  # of what is kept; another one is read anew
_CHANGES: Final = ("mtime", "LastModified", "last_modified", "updated", "ETag", "etag", "md5Hash", "generation")


@dataclass(frozen=True)
class FileScan:
    """One file of events: how many rows it has, events by day, and what could be read of its columns."""

    n_rows: int
    days: Counter[date]
    readability: dict[str, Any]  # Any: `Readability.state`

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as JSON."""
        days: dict[str, JsonValue] = {day.isoformat(): count for day, count in sorted(self.days.items())}
        return {"n_rows": self.n_rows, "days": days, "readability": self.readability}

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> "FileScan":  # Any: JSON
        """Read what `to_json` wrote."""
        days = Counter({date.fromisoformat(day): int(count) for day, count in told["days"].items()})
        return cls(int(told["n_rows"]), days, dict(told["readability"]))


class ScannedFiles:
    """Scans of files by path, valid while size and time of change of the file stay as they were.

    One JSON file in `folder` per mapping of columns, so another mapping reads everything anew; without a folder nothing
    is kept. A file system that tells neither time nor tag of a file has its files read every time. A file whose bytes
    were changed without its size or time is not noticed here; delete the folder to read all files again. Neither
    paths nor values of the files are stored.
    """

    def __init__(self, folder: str, mapping: TableMapping) -> None:
        settings: dict[str, JsonValue] = mapping.model_dump(mode="json", exclude={"uri"})
        self._key = digest_of({"format": _FORMAT, "recsys": version("recsys"), "mapping": settings})
        self._address = join(folder, f"{self._key}.json") if folder else ""
        self._before = self._read()
        self._now: dict[str, JsonValue] = {}

    def find(self, file: fsspec.core.OpenFile, stamp: str) -> FileScan | None:
        """Return the scan of a file that is as it was, else None."""
        entry = self._before.get(digest_of(file.path))
        if not stamp or not isinstance(entry, dict) or entry.get("stamp") != stamp:
            return None
        return FileScan.from_json(entry["scan"])

    def keep(self, file: fsspec.core.OpenFile, stamp: str, scan: FileScan) -> None:
        """Remember the scan of a file that had this stamp before it was read."""
        if stamp:
            self._now[digest_of(file.path)] = {"stamp": stamp, "scan": scan.to_json()}

    def save(self) -> None:
        """Write what was kept, and forget files that are gone."""
        if self._address and self._now != self._before:
            write_json(self._address, self._now)

    def _read(self) -> dict[str, Any]:  # Any: JSON
        try:
            told = read_json(self._address) if self._address and exists(self._address) else {}
        except StorageError:  # a damaged cache is no cache
            return {}
        return told if isinstance(told, dict) else {}


def stamp_of(file: fsspec.core.OpenFile) -> str:
    """Return a digest of a file's size and time or tag of change; empty where the file system tells none."""
    info = file.fs.info(file.path)
    told: dict[str, JsonValue] = {name: str(info[name]) for name in _CHANGES if info.get(name) is not None}
    return digest_of({"size": str(info.get("size")), **told}) if told else ""
