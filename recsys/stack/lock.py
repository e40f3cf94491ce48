"""One demo at a time per state folder. The lock goes with its process, however that ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recsys.errors import RecsysError


class DemoRunningError(RecsysError):
    """Another demo holds the state folder."""


@contextmanager
def demo_lock(state: Path) -> Iterator[None]:
    """Hold the state folder; raise DemoRunningError at once when another process does."""
    state.mkdir(parents=True, exist_ok=True)
    path = _path(state)
    with path.open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoRunningError(
                f"another demo runs (process {path.read_text().strip() or 'unknown'}); wait for it or `make down`"
            ) from None
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        yield


def holder(state: Path) -> int | None:
    """Return the process id of the demo that holds the state folder, or None."""
    path = _path(state)
    if not path.exists():
        return None
    with path.open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = path.read_text().strip()
            return int(text) if text.isdigit() else None
    return None


def _path(state: Path) -> Path:
    return state / "demo.lock"
