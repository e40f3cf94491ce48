"""Addresses: paths of this machine or fsspec URIs, and how they are named relative to a storage root."""

import os
import shutil
import tempfile
from pathlib import Path, PurePosixPath

import fsspec

from recsys.errors import StorageError
from recsys.storage.digest import digest_of

_SHORTEST_END = 2  # as in `datasets/<digest>`: a single name would be found under many roots


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
    target = _copy_of(uri)
    if not target.exists():
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as aside:
            filesystem, path = fsspec.core.url_to_fs(uri)
            filesystem.get(path, f"{aside}/copy", recursive=True)
            try:
                Path(aside, "copy").replace(target)
            except OSError:
                if not target.exists():  # another process copied the same folder first
                    raise
    return target


def forget_copy(uri: str) -> None:
    """Remove the local copy of a remote folder, so that the next look copies it again."""
    if not is_local(uri):
        shutil.rmtree(_copy_of(uri), ignore_errors=True)


def relative_to_root(root: str, uri: str) -> str:
    """Return the address below `root` that `resolve` finds again wherever the root has moved to.

    A relative address that does not begin with `root` is taken as relative to it already. Raises StorageError for one
    that leads out of the root or lies elsewhere.
    """
    inside = _below(root, uri)
    if inside is None:
        raise StorageError(f"{uri} lies outside the storage root {root}; only what is stored below it can be named")
    return inside


def resolve(root: str, address: str) -> str:
    """Return the present address of what is named relative to `root`; an address below `root` stays what it is.

    One below another root, as it was before a move, is found by the longest end of its path that exists below `root`.
    Raises StorageError when there is none, and for a path that leads out of the root.
    """
    inside = _below(root, address)
    if inside is not None and (_begins_with(root, address) or _is_absolute(address)):
        return join(root, inside)
    moved = _by_its_end(root, address)
    if moved is None and inside is None:
        raise StorageError(
            f"{address} lies outside the storage root {root}, and nothing below the root ends like it; restore what "
            "is missing, or run the stage that wrote it again"
        )
    return moved or join(root, address)


def _by_its_end(root: str, address: str) -> str | None:
    parts = [part for part in address.rsplit("://", maxsplit=1)[-1].split("/") if part]
    if ".." in parts:
        return None
    for start in range(len(parts) - _SHORTEST_END + 1):
        moved = join(root, *parts[start:])
        filesystem, path = fsspec.core.url_to_fs(moved)
        if filesystem.exists(path):
            return moved
    return None


def _below(root: str, uri: str) -> str | None:
    """Return the part of an address below `root`, None when it lies elsewhere."""
    places = [(root, uri)]
    if _is_absolute(uri):  # a relative one has nothing to do with the working directory
        places += [(_absolute(root), _absolute(uri)), (_real(root), _real(uri))]
    for base, address in places:
        if _begins_with(base, address):
            return _checked(root, address[len(base.rstrip("/")) + 1 :])
    return None if _is_absolute(uri) else _checked(root, uri)


def _begins_with(base: str, address: str) -> bool:
    return address.startswith(f"{base.rstrip('/')}/")


def _checked(root: str, relative: str) -> str:
    parts = PurePosixPath(relative).parts
    if ".." in parts:
        raise StorageError(f"{relative} leads out of the storage root {root}; name what is stored below it")
    return "/".join(parts)


def _copy_of(uri: str) -> Path:
    return Path(tempfile.gettempdir()) / f"recsys-cache-{os.getuid()}" / digest_of(uri)


def _is_absolute(uri: str) -> bool:
    return "://" in uri or uri.startswith("/")


def _absolute(uri: str) -> str:
    return os.path.abspath(local_path(uri)) if is_local(uri) else uri  # noqa: PTH100 - `..` must go, links must stay


def _real(uri: str) -> str:
    return os.path.realpath(local_path(uri)) if is_local(uri) else uri
