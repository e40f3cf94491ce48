"""Locks between processes of one machine, released when their holder ends, however it ends."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recsys.errors import StorageError
from recsys.storage.addresses import is_local, local_path
from recsys.storage.digest import digest_of


@contextmanager
def locked(root: str, name: str) -> Iterator[None]:
    """Hold an exclusive lock, waiting for whoever holds it; raise StorageError where no lock file can be made.

    The locks of a remote root lie on this machine and keep out its own processes alone.
    """
    path = _lock_file(root, name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("a")
    except OSError as error:
        raise StorageError(f"cannot lock {path}: {error.strerror or error}; fix its permissions") from error
    with stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def is_locked(root: str, name: str) -> bool:
    """Tell whether a living process of this machine holds a lock; nothing is written by asking."""
    try:
        stream = _lock_file(root, name).open()
    except FileNotFoundError:
        return False
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared, so that two who ask see no holder in the other
        except BlockingIOError:
            return True
        return False


def _lock_file(root: str, name: str) -> Path:
    if is_local(root):
        return local_path(root) / "locks" / f"{name}.lock"
    place = Path(tempfile.gettempdir()) / f"recsys-locks-{os.getuid()}" / digest_of(root.rstrip("/"))
    return place / f"{name}.lock"
