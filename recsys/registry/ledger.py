"""The ledger of promotion decisions: append-only, each record chained to the one before by its hash."""

import hashlib
import json
from collections.abc import Mapping

from pydantic import JsonValue

from recsys.errors import StorageError
from recsys.storage import append_line, exists, join, locked, read_text

_FIRST = "0" * 64
_SEAL = "sha256"  # of the record itself, so that the last one is protected too


def record_decision(root: str, record: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Append a record, chained by `previous` to the last one; returns what was written.

    Raises StorageError rather than building on a ledger that was altered.
    """
    with locked(root, "ledger"):
        records = read_ledger(root)
        previous = records[-1][_SEAL] if records else _FIRST
        chained: dict[str, JsonValue] = {**record, "sequence": len(records), "previous": previous}
        chained[_SEAL] = _seal(chained)
        append_line(_path(root), chained)
    return chained


def read_ledger(root: str) -> list[dict[str, JsonValue]]:
    """Return all records; raise StorageError naming the first one that was altered, removed or reordered.

    Records cut off at the end leave a shorter, whole chain: only a copy of the last seal kept elsewhere shows that.
    """
    records: list[dict[str, JsonValue]] = []
    previous = _FIRST
    for number, line in enumerate(_lines(root)):
        try:
            record = json.loads(line)
        except ValueError:
            record = {}
        links = (record.get("previous"), record.get("sequence"), record.get(_SEAL))
        if links != (previous, number, _seal(record)):
            raise StorageError(f"the ledger {_path(root)} was altered at or before record {number}; restore it")
        records.append(record)
        previous = record[_SEAL]
    return records


def _path(root: str) -> str:
    return join(root, "ledger", "promotions.jsonl")


def _lines(root: str) -> list[str]:
    text = read_text(_path(root)) if exists(_path(root)) else ""
    return text.removesuffix("\n").split("\n") if text else []  # splitlines would also split at U+2028 inside a record


def _seal(record: Mapping[str, JsonValue]) -> str:
    content = {name: value for name, value in record.items() if name != _SEAL}
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
