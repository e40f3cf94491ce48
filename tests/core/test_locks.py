"""Locks between processes, seen by who asks and by who waits."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from recsys.errors import StorageError
from recsys.storage import is_locked, locked

ASK = "import sys; from recsys.storage import is_locked; print(is_locked(sys.argv[1], 'x'))"


def asked_elsewhere(root: str) -> str:
    done = subprocess.run([sys.executable, "-c", ASK, root], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("root", ["{tmp_path}/state", "memory://bucket/state"])
def test_a_lock_is_seen_by_other_processes_until_it_is_released(root: str, tmp_path: Path) -> None:
    root = root.format(tmp_path=tmp_path)
    with locked(root, "x"):
        assert asked_elsewhere(root) == "True"
        assert asked_elsewhere(f"{root}/") == "True"
    assert asked_elsewhere(root) == "False"


def test_asking_writes_nothing(tmp_path: Path) -> None:
    assert not is_locked(str(tmp_path / "state"), "x")
    assert not list(tmp_path.iterdir())


def test_two_who_ask_do_not_take_each_other_for_the_holder(tmp_path: Path) -> None:
    import fcntl

    with locked(str(tmp_path), "x"):
        pass
    with (tmp_path / "locks" / "x.lock").open() as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert not is_locked(str(tmp_path), "x")


def test_a_root_that_cannot_hold_a_lock_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot lock"), locked(str(tmp_path / "file"), "x"):
        pass


def test_the_locks_of_a_remote_root_lie_outside_the_copies_of_its_folders() -> None:
    with locked("memory://bucket/state", "y"):
        assert not list(Path(tempfile.gettempdir()).glob("recsys-cache-*/locks"))
