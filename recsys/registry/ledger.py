"""The ledger of promotion decisions: append-only, each record chained to the one before by its hash."""

import hashlib
import json
from collections.abc import Mapping

from pydantic import JsonValue

from recsys.errors import StorageError
from recsys.storage import append_line, join, local_path, locked

_FIRST = "0" * 64


def record_decision(root: str, record: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Append a record, chained by `previous` to the last one; returns what was written."""
    with locked(root, "ledger"):
        lines = _lines(root)
        previous = _hash(lines[-1]) if lines else _FIRST
        chained: dict[str, JsonValue] = {**record, "sequence": len(lines), "previous": previous}
        append_line(_path(root), chained)
    return chained


def read_ledger(root: str) -> list[dict[str, JsonValue]]:
    """Return all records; raise StorageError naming the first one that was altered, removed or reordered."""
    records: list[dict[str, JsonValue]] = []
    previous = _FIRST
    for number, line in enumerate(_lines(root)):
        try:
            record = json.loads(line)
        except ValueError:
            record = {}
        if record.get("previous") != previous or record.get("sequence") != number:
            raise StorageError(f"the ledger {_path(root)} was altered at or before record {number}; restore it")
        records.append(record)
        previous = _hash(line)
    return records


def _path(root: str) -> str:
    return join(root, "ledger", "promotions.jsonl")


def _lines(root: str) -> list[str]:
    path = local_path(_path(root))
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _hash(line: str) -> str:
    return hashlib.sha256(line.encode()).hexdigest()
