"""Published folders: immutable, named after their content, and repaired where they were damaged.

`publish(base)` writes aside, hashes every file, moves the result to `base/<digest>` and only then replaces
`base/CURRENT.json`. A writer killed half-way leaves the previous version current; running it again ends in the same
digest. A folder of that digest that is damaged makes room for the one just written.
"""

import errno
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import fsspec
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from recsys.errors import StorageError
from recsys.storage.addresses import forget_copy, is_local, join, local_path
from recsys.storage.digest import digest_of, sha256_of
from recsys.storage.files import exists, list_names, read_json, unwritable, write_json
from recsys.storage.locks import locked

_CURRENT = "CURRENT.json"
_MANIFEST = "MANIFEST.json"
_VERSION = re.compile(r"[0-9a-f]{16}")
_OF_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)  # no reader gets these
_NUMBER = re.compile(r"(?:errno|os error) (\d+)", re.IGNORECASE)  # shutil and Polars hide it in their text


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


@contextmanager
def publish(
    base: str, info: Mapping[str, JsonValue] | None = None, *, make_current: bool = True
) -> Iterator[Publication]:
    """Write a folder aside and publish it atomically as the current version of `base`, or as one beside it.

    Raises StorageError when the folder cannot be written; then the version before stays current. An OSError of the
    body that is not about writing the folder, such as a missing input, is raised as it is.
    """
    with _writing(base):
        aside = _staging_folder(base)
    try:
        publication = Publication(aside, info or {})
        try:
            yield publication
        except OSError as error:
            if _is_of_writing(error, aside):
                raise unwritable(base, error) from error
            raise
        with _writing(base):
            manifest = Manifest(files=_hash_files(aside), info=publication.info)
            write_json(str(aside / _MANIFEST), manifest.model_dump(mode="json"))
            publication.uri = _move(aside, base, manifest.digest)
        if make_current:
            write_json(join(base, _CURRENT), {"version": manifest.digest})
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def versions(base: str) -> list[str]:
    """Return the addresses of everything published below `base`, whether it is whole or not."""
    return [join(base, name) for name in list_names(base) if _VERSION.fullmatch(name)]


def remove(uri: str) -> None:
    """Delete a folder for good; nothing happens when it is gone already. Who has its files open keeps them."""
    forget_copy(uri)
    if exists(uri):
        with _writing(uri):
            _take_away(uri)


def current(base: str) -> str | None:
    """Return the address of the version of `base` that is current, or None when nothing was published yet.

    Raises StorageError when the pointer is damaged. Whether the folder is whole, `intact` and `verify` tell.
    """
    pointer = join(base, _CURRENT)
    if not exists(pointer):
        return None
    told = read_json(pointer)
    version = told.get("version") if isinstance(told, dict) else None
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise StorageError(f"{pointer} names no version; run the stage that writes it again")
    return join(base, version)


def intact(base: str) -> str | None:
    """Return the current version of `base` when every file is as it was written, else None: then make it again.

    Stages that hand back earlier work ask here. Publishing equal content repairs the damaged folder.
    """
    try:
        uri = current(base)
        if uri is not None:
            verify(uri)
    except StorageError:
        return None
    return uri


def read_manifest(uri: str) -> Manifest:
    """Return the manifest of a published folder; raise StorageError when there is none or it was changed."""
    path = join(uri, _MANIFEST)
    try:
        manifest = Manifest.model_validate(read_json(path))
    except ValidationError:
        raise StorageError(f"{path} is no manifest; run its stage again") from None
    name = uri.rstrip("/").rsplit("/", 1)[-1]
    if _VERSION.fullmatch(name) and manifest.digest != name:
        raise StorageError(f"{path} was changed since it was written; run its stage again")
    return manifest


def verify(uri: str) -> Manifest:
    """Hash a published folder again; raise StorageError naming the first file that is not what was written.

    A file that was added counts as damage, as loaders look for optional files; hidden ones do not.
    """
    try:
        return _verified(uri)
    except StorageError:
        if is_local(uri):
            raise
        forget_copy(uri)  # the damage may be the copy's alone
        return _verified(uri)


def _verified(uri: str) -> Manifest:
    manifest = read_manifest(uri)
    try:
        folder = local_path(uri)
        found = [path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir()]
    except OSError as error:
        raise StorageError(f"cannot read {uri}: {error.strerror or error}; run its stage again") from error
    for name, entry in manifest.files.items():
        if not _is_as_written(folder / name, entry):
            raise StorageError(f"{join(uri, name)} is missing or changed since it was written; run its stage again")
    known = {*manifest.files, _MANIFEST}
    for path in sorted(found):
        if path.as_posix() not in known and not any(part.startswith(".") for part in path.parts):
            raise StorageError(f"{join(uri, path.as_posix())} was added since it was written; run its stage again")
    return manifest


def _is_as_written(path: Path, entry: FileEntry) -> bool:
    try:
        return path.stat().st_size == entry.n_bytes and sha256_of(path) == entry.sha256
    except OSError:  # missing, unreadable, or another writer repairs it right now
        return False


@contextmanager
def _writing(base: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unwritable(base, error) from error


def _is_of_writing(error: OSError, aside: Path) -> bool:
    found = _NUMBER.search(str(error))
    number = error.errno or (int(found.group(1)) if found else 0)
    return number in _OF_WRITING or Path(str(error.filename or "")).is_relative_to(aside)


def _staging_folder(base: str) -> Path:
    if not is_local(base):
        return Path(tempfile.mkdtemp(prefix="recsys-"))
    folder = local_path(base)
    folder.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=folder, prefix=".writing-"))


def _move(aside: Path, base: str, digest: str) -> str:
    """Put a whole folder in its place; one that is there already stays if it is whole."""
    target = join(base, digest)
    if _is_placed(aside, target):
        return target
    with locked(base, "repair"):  # or a second writer would take away what the first one just repaired
        if not _is_whole(target):
            _take_away(target)
            if not _is_placed(aside, target):
                raise StorageError(f"{target} is damaged again since it was repaired; check the disk, then run again")
    return target


def _is_placed(aside: Path, target: str) -> bool:
    """Move a folder into a place that is free; tell whether what lies there now is whole."""
    forget_copy(target)
    if not exists(target):
        try:
            _put(aside, target)
        except OSError:
            if not exists(target):  # another run published the same content first
                raise
        else:
            return True
    return _is_whole(target)


def _is_whole(uri: str) -> bool:
    try:
        verify(uri)
    except StorageError:
        return False
    return True


def _put(aside: Path, target: str) -> None:
    if is_local(target):
        aside.chmod(0o755)
        aside.rename(local_path(target))
    else:
        filesystem, path = fsspec.core.url_to_fs(target)
        filesystem.put(str(aside), path, recursive=True)


def _take_away(target: str) -> None:
    """Remove a damaged folder; who has its files open keeps them."""
    if not is_local(target):
        filesystem, path = fsspec.core.url_to_fs(target)
        filesystem.rm(path, recursive=True)
        return
    path = local_path(target)
    old = Path(tempfile.mkdtemp(dir=path.parent, prefix=".damaged-"))
    path.rename(old / path.name)
    shutil.rmtree(old, ignore_errors=True)


def _hash_files(folder: Path) -> dict[str, FileEntry]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): FileEntry(sha256=sha256_of(path), n_bytes=path.stat().st_size)
        for path in paths
    }
