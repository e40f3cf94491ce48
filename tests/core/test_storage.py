import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from recsys import storage
from recsys.errors import StorageError


def _write(base: Path, text: str) -> str:
    with storage.publish(str(base), {"rows": len(text)}) as publication:
        (publication.path / "part.txt").write_text(text)
    return publication.uri


def test_equal_content_is_published_under_one_name(tmp_path: Path) -> None:
    assert _write(tmp_path / "a", "x") == _write(tmp_path / "a", "x")


def test_a_new_version_leaves_the_old_one_readable(tmp_path: Path) -> None:
    old = _write(tmp_path / "a", "x")
    new = _write(tmp_path / "a", "y")
    assert storage.current(str(tmp_path / "a")) == new
    assert Path(old, "part.txt").read_text() == "x"


def test_nothing_is_current_before_the_first_publication(tmp_path: Path) -> None:
    assert storage.current(str(tmp_path / "nothing")) is None


def test_a_failing_writer_leaves_the_current_version_and_no_rubbish(tmp_path: Path) -> None:
    old = _write(tmp_path / "a", "x")
    with pytest.raises(RuntimeError), storage.publish(str(tmp_path / "a")) as publication:
        (publication.path / "part.txt").write_text("half")
        raise RuntimeError
    assert storage.current(str(tmp_path / "a")) == old
    assert not list((tmp_path / "a").glob(".writing-*"))


def test_a_writer_killed_half_way_leaves_the_current_version(tmp_path: Path) -> None:
    old = _write(tmp_path / "a", "x")
    code = (
        "import os, signal, sys\nfrom recsys import storage\n"
        "with storage.publish(sys.argv[1]) as p:\n"
        "    (p.path / 'part.txt').write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert storage.current(str(tmp_path / "a")) == old
    assert storage.verify(old).info == {"rows": 1}


def test_verify_names_the_file_that_changed(tmp_path: Path) -> None:
    uri = _write(tmp_path / "a", "x")
    Path(uri, "part.txt").write_text("z")
    with pytest.raises(StorageError, match=r"part\.txt"):
        storage.verify(uri)


def test_a_full_disk_is_a_storage_error_that_says_what_to_do(tmp_path: Path) -> None:
    old = _write(tmp_path / "a", "x")
    with pytest.raises(StorageError, match="No space left.*run again"), storage.publish(str(tmp_path / "a")):
        raise OSError(28, "No space left on device")
    assert storage.current(str(tmp_path / "a")) == old


@contextmanager
def disk_of(n_bytes: int) -> Iterator[None]:
    """Let no file grow past `n_bytes`, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def test_a_file_that_does_not_fit_leaves_the_old_one_and_no_rubbish(tmp_path: Path) -> None:
    path = tmp_path / "pointer.json"
    storage.write_json(str(path), {"version": "1"})
    with disk_of(4096), pytest.raises(StorageError, match="cannot write .*run again"):
        storage.write_json(str(path), {"version": "x" * 9000})
    assert json.loads(path.read_text()) == {"version": "1"}
    assert [each.name for each in tmp_path.iterdir()] == ["pointer.json"]


def test_a_line_that_does_not_fit_is_not_half_written(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    storage.append_line(str(path), {"number": 1})
    with disk_of(4096), pytest.raises(StorageError, match="cannot write .*run again"):
        storage.append_line(str(path), {"text": "x" * 9000})
    storage.append_line(str(path), {"number": 2})
    assert [json.loads(line) for line in path.read_text().splitlines()] == [{"number": 1}, {"number": 2}]


def test_an_unwritable_place_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"), storage.publish(str(tmp_path / "file" / "a")):
        pass


def test_a_remote_folder_is_published_and_copied_back() -> None:
    with storage.publish("memory://bucket/a") as publication:
        (publication.path / "part.txt").write_text("x")
    assert storage.current("memory://bucket/a") == publication.uri
    assert (storage.local_path(publication.uri) / "part.txt").read_text() == "x"


def _append_many(path: str) -> None:
    for number in range(50):
        storage.append_line(path, {"number": number, "process": os.getpid()})


def test_lines_of_two_writers_never_mix(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append_many, args=(str(path),)) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(timeout=30)
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 100


def test_json_refuses_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        storage.write_json(str(tmp_path / "a.json"), {"metric": float("nan")})
