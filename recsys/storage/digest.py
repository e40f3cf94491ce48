"""Names made of content."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue


def digest_of(value: JsonValue | Mapping[str, JsonValue]) -> str:
    """Return 16 hex digits that name a JSON value, whatever the order of its keys."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
