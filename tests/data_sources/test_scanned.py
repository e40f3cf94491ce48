"""Files of events that were read before are not read again to find out which days they hold."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recsys.config import Config, FilesSource, TableMapping
from recsys.data.sources import Source, open_source
from recsys.data.sources.files import FilesReader
from recsys.errors import SourceError

HEADER = "user_id,item_id,event,timestamp"


def _write(folder: Path, day: int, text: str = "u,i,click,2026-01-{day:02d}") -> Path:
    path = folder / f"{day:02d}.csv"
    path.write_text(f"{HEADER}\n{text.format(day=day)}\n")
    return path


def _open(folder: Path, **mapping: object) -> Source:
    table = TableMapping.model_validate({"uri": f"{folder}/*.csv", **mapping})
    return open_source(Config(source=FilesSource(interactions=table)), scans=str(folder / "scans"))


@pytest.fixture
def scanned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the files that are scanned from now on."""
    names: list[str] = []
    scan = FilesReader._scan

    def noted(self, file, mapping):  # type: ignore[no-untyped-def]
        names.append(Path(file.path).name)
        return scan(self, file, mapping)

    monkeypatch.setattr(FilesReader, "_scan", noted)
    return names


def test_only_new_and_changed_files_are_read(tmp_path: Path, scanned: list[str]) -> None:
    for day in (1, 2):
        _write(tmp_path, day)
    first = _open(tmp_path).interval()
    assert scanned == ["01.csv", "02.csv"]
    assert _open(tmp_path).interval() == first
    assert scanned == ["01.csv", "02.csv"]
    _write(tmp_path, 3)
    _write(tmp_path, 2, "user,item,click,2026-01-02")
    assert _open(tmp_path).interval() == (first[0], datetime(2026, 1, 4, tzinfo=UTC))
    assert scanned[2:] == ["02.csv", "03.csv"]


def test_a_file_of_the_same_size_and_another_time_is_read_again(tmp_path: Path, scanned: list[str]) -> None:
    path = _write(tmp_path, 1)
    _open(tmp_path).interval()
    path.write_text(path.read_text().replace("2026-01-01", "2026-01-09"))
    os.utime(path, (1_800_000_000, 1_800_000_000))
    assert _open(tmp_path).interval()[0] == datetime(2026, 1, 9, tzinfo=UTC)


def test_a_file_that_is_gone_counts_no_longer(tmp_path: Path) -> None:
    _write(tmp_path, 1)
    gone = _write(tmp_path, 5)
    _open(tmp_path).interval()
    gone.unlink()
    assert _open(tmp_path).interval()[1] == datetime(2026, 1, 2, tzinfo=UTC)


def test_another_mapping_reads_everything_anew(tmp_path: Path, scanned: list[str]) -> None:
    _write(tmp_path, 1)
    _open(tmp_path).interval()
    _open(tmp_path, missing={"user_id": ["nobody"]}).interval()
    assert scanned == ["01.csv", "01.csv"]


def test_files_known_from_before_still_count_in_what_can_be_read(tmp_path: Path) -> None:
    """A new file without one readable value passes beside one that has them, and fails alone."""
    header = f"{HEADER},value"
    (tmp_path / "01.csv").write_text(f"{header}\nu,i,click,2026-01-01,1\n")
    _open(tmp_path).interval()
    (tmp_path / "02.csv").write_text(f"{header}\nu,i,click,2026-01-02,bad\n")
    assert _open(tmp_path).interval()[1] == datetime(2026, 1, 3, tzinfo=UTC)
    (tmp_path / "01.csv").unlink()
    for _ in range(2):  # what was refused is refused again
        with pytest.raises(SourceError, match="no value can be read"):
            _open(tmp_path).interval()


def test_events_of_a_day_come_from_its_file_alone_after_a_restart(tmp_path: Path) -> None:
    first = _write(tmp_path, 1)
    _write(tmp_path, 2)
    source = _open(tmp_path)
    source.interval()
    stamp = first.stat()
    first.write_text("x" * stamp.st_size)  # never opened: its stamp says that nothing changed
    os.utime(first, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    source = _open(tmp_path)
    source._checked = True  # type: ignore[attr-defined]  # the mapping is held against the first file
    start, end = source.interval()
    assert sum(len(batch) for batch in source.interactions(start.replace(day=2), end)) == 1


@pytest.mark.parametrize("damage", ["", "[]", '{"x": 1}', "no json"])
def test_a_damaged_memory_is_read_past(tmp_path: Path, damage: str) -> None:
    _write(tmp_path, 1)
    whole = _open(tmp_path).interval()
    (kept,) = (tmp_path / "scans").glob("*.json")
    kept.write_text(damage)
    assert _open(tmp_path).interval() == whole


def test_neither_paths_nor_ids_are_kept(tmp_path: Path) -> None:
    _write(tmp_path, 1, "secret,item,click,2026-01-01")
    _open(tmp_path).interval()
    (kept,) = (tmp_path / "scans").glob("*.json")
    assert "secret" not in kept.read_text() and "01.csv" not in kept.read_text()
