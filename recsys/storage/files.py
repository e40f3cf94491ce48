"""Single files: written whole or not at all, and appended to line by line."""

import errno
import fcntl
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fsspec
from pydantic import JsonValue

from recsys.errors import StorageError
from recsys.storage.addresses import is_local, local_path
from recsys.storage.locks import locked


def exists(uri: str) -> bool:
    """Tell whether something is stored at `uri`."""
    filesystem, path = fsspec.core.url_to_fs(uri)
    return bool(filesystem.exists(path))


def list_names(base: str) -> list[str]:
    """Return the sorted names directly under `base`; nothing when it does not exist."""
    filesystem, path = fsspec.core.url_to_fs(base)
    if not filesystem.exists(path):
        return []
    return sorted(str(name).rstrip("/").rsplit("/", 1)[-1] for name in filesystem.ls(path, detail=False))


def read_text(uri: str) -> str:
    """Read a text file; raise StorageError naming the address when it is absent or no UTF-8."""
    try:
        with fsspec.open(uri, "r", encoding="utf-8", newline="") as stream:
            return str(stream.read())
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"cannot read {uri}: {error}; run the stage that writes it again") from None


def read_json(uri: str) -> Any:  # Any: the caller validates what it asked for
    """Read JSON; raise StorageError naming the address when it is absent or damaged."""
    try:
        return json.loads(read_text(uri))
    except ValueError as error:
        raise StorageError(f"cannot read {uri}: {error}; run the stage that writes it again") from None


def write_json(uri: str, value: Any) -> None:  # Any: whatever json can write
    """Write canonical JSON so that a reader sees the old file or the new one, never a part."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(uri, text)


def write_text(uri: str, text: str) -> None:
    """Write a text file atomically; raise StorageError when the place cannot be written."""
    try:
        if not is_local(uri):
            with fsspec.open(uri, "w", encoding="utf-8", newline="") as stream:
                stream.write(text)
            return
        path = local_path(uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            Path(aside).replace(path)
        finally:
            Path(aside).unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(uri, error) from error


def append_line(uri: str, record: Mapping[str, JsonValue]) -> None:
    """Append one JSON line to an append-only file and flush it to disk; on an error nothing of it stays.

    A remote file is read and written anew, as object stores cannot append; writers of other machines are not kept out.
    """
    line = json.dumps(record, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        if is_local(uri):
            _append(local_path(uri), line.encode())
        else:
            with locked(uri, "append"):
                write_text(uri, (read_text(uri) if exists(uri) else "") + line)
    except OSError as error:
        raise unwritable(uri, error) from error


def unwritable(uri: str, error: OSError) -> StorageError:
    """Return the error of a place that cannot be written, and what to do."""
    return StorageError(
        f"cannot write {uri}: {error.strerror or error}; free space or fix its permissions, then run again"
    )


def _append(path: Path, line: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        length = os.fstat(stream.fileno()).st_size
        try:
            if (written := stream.write(line)) != len(line):
                raise OSError(errno.ENOSPC, f"only {written} of {len(line)} bytes fit")
            os.fsync(stream.fileno())
        except OSError:
            stream.truncate(length)
            raise
