"""Run-scoped addresses over fsspec, atomic writes, and manifests with content hashes.

A published folder is immutable and named after its content: `publish(base)` writes aside, hashes every file, moves
the result to `base/<digest>` and only then replaces `base/CURRENT.json`. A writer killed half-way leaves the
previous version current; running it again ends in the same digest.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
from pydantic import BaseModel, ConfigDict, JsonValue

from recsys.errors import StorageError

_CURRENT = "CURRENT.json"
_MANIFEST = "MANIFEST.json"


class FileEntry(BaseModel):
    """One file of a published folder: its SHA-256 and its size in bytes."""

    model_config = ConfigDict(frozen=True)
    sha256: str
    n_bytes: int


class Manifest(BaseModel):
    """What a published folder holds. `info` must not depend on the clock, or equal content gets unequal names."""

    model_config = ConfigDict(frozen=True)
    files: dict[str, FileEntry]
    info: dict[str, JsonValue]

    @property
    def digest(self) -> str:
        """The first 16 hex digits of the SHA-256 over files and info in canonical JSON."""
        return digest_of(self.model_dump(mode="json"))


class Publication:
    """A folder being written: put files under `path`, facts into `info`; `uri` is set once it is published."""

    def __init__(self, path: Path, info: Mapping[str, JsonValue]) -> None:
        self.path = path
        self.info: dict[str, JsonValue] = dict(info)
        self.uri = ""


def digest_of(value: JsonValue | Mapping[str, JsonValue]) -> str:
    """Return 16 hex digits that name a JSON value, whatever the order of its keys."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def join(base: str, *parts: str) -> str:
    """Join URI parts with single slashes."""
    return "/".join([base.rstrip("/"), *(part.strip("/") for part in parts)])


def is_local(uri: str) -> bool:
    """Tell whether `uri` is a path of this machine."""
    return "://" not in uri or uri.startswith("file://")


def local_path(uri: str) -> Path:
    """Return the local path of `uri`; a remote folder is copied once into a cache named after its address."""
    if is_local(uri):
        return Path(uri.removeprefix("file://"))
    target = Path(tempfile.gettempdir()) / f"recsys-cache-{os.getuid()}" / digest_of(uri)
    if not target.exists():
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as aside:
            filesystem, path = fsspec.core.url_to_fs(uri)
            filesystem.get(path, f"{aside}/copy", recursive=True)
            Path(aside, "copy").replace(target)
    return target


@contextmanager
def publish(base: str, info: Mapping[str, JsonValue] | None = None) -> Iterator[Publication]:
    """Write a folder aside and publish it atomically as the current version of `base`.

    Raises StorageError when the folder cannot be written; then the version before stays current.
    """
    aside: Path | None = None
    try:
        aside = _staging_folder(base)
        publication = Publication(aside, info or {})
        yield publication
        manifest = Manifest(files=_hash_files(aside), info=publication.info)
        write_json(str(aside / _MANIFEST), manifest.model_dump(mode="json"))
        publication.uri = _move(aside, base, manifest.digest)
        write_json(join(base, _CURRENT), {"version": manifest.digest})
    except OSError as error:
        raise StorageError(
            f"cannot write {base}: {error.strerror or error}; free space or fix its permissions, then run again"
        ) from error
    finally:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)


def current(base: str) -> str | None:
    """Return the address of the version of `base` that is current, or None when nothing was published yet."""
    pointer = join(base, _CURRENT)
    return join(base, read_json(pointer)["version"]) if exists(pointer) else None


def read_manifest(uri: str) -> Manifest:
    """Return the manifest of a published folder; raise StorageError when there is none."""
    return Manifest.model_validate(read_json(join(uri, _MANIFEST)))


def verify(uri: str) -> Manifest:
    """Hash a published folder again; raise StorageError naming the first file that is not what was written."""
    manifest = read_manifest(uri)
    folder = local_path(uri)
    for name, entry in manifest.files.items():
        path = folder / name
        if not path.exists() or _sha256(path) != entry.sha256:
            raise StorageError(f"{join(uri, name)} is missing or changed since it was written; run its stage again")
    return manifest


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


def write_json(uri: str, value: Any) -> None:  # Any: whatever json can write
    """Write canonical JSON so that a reader sees the old file or the new one, never a part."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(uri, text)


def write_text(uri: str, text: str) -> None:
    """Write a text file atomically; raise StorageError when the place cannot be written."""
    try:
        if not is_local(uri):
            with fsspec.open(uri, "w", encoding="utf-8") as stream:
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
        raise _unwritable(uri, error) from error


def _unwritable(uri: str, error: OSError) -> StorageError:
    return StorageError(
        f"cannot write {uri}: {error.strerror or error}; free space or fix its permissions, then run again"
    )


def read_json(uri: str) -> Any:  # Any: the caller validates what it asked for
    """Read JSON; raise StorageError naming the address when it is absent or damaged."""
    try:
        with fsspec.open(uri, "r", encoding="utf-8") as stream:
            return json.load(stream)
    except (OSError, ValueError) as error:
        raise StorageError(f"cannot read {uri}: {error}; run the stage that writes it again") from error


def append_line(uri: str, record: Mapping[str, JsonValue]) -> None:
    """Append one JSON line to a local append-only file and flush it to disk; on an error nothing of it stays."""
    path = local_path(uri)
    line = (json.dumps(record, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()
    try:
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
    except OSError as error:
        raise _unwritable(uri, error) from error


@contextmanager
def locked(root: str, name: str) -> Iterator[None]:
    """Hold an exclusive lock, waiting for whoever holds it; released when the process ends, however it ends."""
    with _lock_file(root, name).open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def is_locked(root: str, name: str) -> bool:
    """Tell whether a living process of this machine holds a lock."""
    with _lock_file(root, name).open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def _lock_file(root: str, name: str) -> Path:
    path = Path(tempfile.gettempdir()) / f"recsys-{digest_of(root)}" if not is_local(root) else local_path(root)
    path = path / "locks" / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _staging_folder(base: str) -> Path:
    if not is_local(base):
        return Path(tempfile.mkdtemp(prefix="recsys-"))
    folder = local_path(base)
    folder.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=folder, prefix=".writing-"))


def _move(aside: Path, base: str, digest: str) -> str:
    target = join(base, digest)
    if exists(target):
        return target
    if is_local(base):
        aside.chmod(0o755)
        try:
            aside.rename(local_path(target))
        except OSError:
            if not exists(target):  # another run published the same content first
                raise
    else:
        filesystem, path = fsspec.core.url_to_fs(target)
        filesystem.put(str(aside), path, recursive=True)
    return target


def _hash_files(folder: Path) -> dict[str, FileEntry]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): FileEntry(sha256=_sha256(path), n_bytes=path.stat().st_size)
        for path in paths
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
