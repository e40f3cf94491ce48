import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from recsys.errors import StorageError
from recsys.registry import read_ledger, record_decision


def _lines(root: Path) -> list[str]:
    return (root / "ledger" / "promotions.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)


def _write(root: Path, lines: list[str]) -> None:
    (root / "ledger" / "promotions.jsonl").write_text("".join(lines), encoding="utf-8")


def test_records_come_back_in_order_and_chained(tmp_path: Path) -> None:
    for version in ("1", "2", "3"):
        record_decision(str(tmp_path), {"version": version, "promoted": True})
    records = read_ledger(str(tmp_path))
    assert [record["version"] for record in records] == ["1", "2", "3"]
    assert [record["sequence"] for record in records] == [0, 1, 2]
    assert records[1]["previous"] == records[0]["sha256"]


def test_an_absent_ledger_is_empty(tmp_path: Path) -> None:
    assert read_ledger(str(tmp_path)) == []


@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_altered_record_is_found_even_when_it_is_the_last(tmp_path: Path, place: int) -> None:
    for version in ("1", "2", "3"):
        record_decision(str(tmp_path), {"version": version, "promoted": False})
    lines = _lines(tmp_path)
    lines[place] = lines[place].replace('"promoted": false', '"promoted": true')
    _write(tmp_path, lines)
    with pytest.raises(StorageError, match=f"record {place}"):
        read_ledger(str(tmp_path))


@pytest.mark.parametrize(
    "change",
    [lambda lines: lines[1:], lambda lines: [lines[0], lines[2]], lambda lines: lines[::-1],
     lambda lines: [*lines[:2], lines[2][:20]], lambda lines: [*lines, lines[2]]],
    ids=["first dropped", "middle dropped", "reordered", "torn", "repeated"],
)  # fmt: skip
def test_dropped_reordered_torn_and_repeated_records_are_found(
    tmp_path: Path, change: Callable[[list[str]], list[str]]
) -> None:
    for version in ("1", "2", "3"):
        record_decision(str(tmp_path), {"version": version})
    _write(tmp_path, change(_lines(tmp_path)))
    with pytest.raises(StorageError, match="was altered at or before record"):
        read_ledger(str(tmp_path))
    with pytest.raises(StorageError):
        record_decision(str(tmp_path), {"version": "4"})


def test_line_separators_inside_a_record_do_not_break_it(tmp_path: Path) -> None:
    record_decision(str(tmp_path), {"detail": "a\u2028b\x85c\nd"})
    record_decision(str(tmp_path), {"detail": "☃"})
    assert [record["detail"] for record in read_ledger(str(tmp_path))] == ["a\u2028b\x85c\nd", "☃"]


def test_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    def write() -> None:
        for _ in range(5):
            record_decision(str(tmp_path), {"promoted": True})

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_ledger(str(tmp_path))) == 20
    assert all(json.loads(line) for line in _lines(tmp_path))


def test_a_ledger_in_remote_storage_grows_and_is_read_back() -> None:
    for version in ("1", "2"):
        record_decision("memory://ledger/state", {"version": version})
    assert [record["version"] for record in read_ledger("memory://ledger/state")] == ["1", "2"]
