import errno
import hashlib
import json
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from recsys import storage
from recsys.errors import StorageError
from recsys.storage import folders


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


def _overwrite(path: Path, text: str) -> None:
    path.write_text(text)


def _edit_manifest(folder: Path) -> None:
    """Change a file and the manifest with it, as a careless repair by hand would."""
    (folder / "part.txt").write_text("z")
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    manifest["files"]["part.txt"] = {"sha256": hashlib.sha256(b"z").hexdigest(), "n_bytes": 1}
    (folder / "MANIFEST.json").write_text(json.dumps(manifest))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "file missing": lambda folder: (folder / "part.txt").unlink(),
    "file a folder": lambda folder: ((folder / "part.txt").unlink(), (folder / "part.txt").mkdir()),
    "file truncated": lambda folder: os.truncate(folder / "part.txt", 2),
    "file changed": lambda folder: _overwrite(folder / "part.txt", "text"[::-1]),
    "file added": lambda folder: _overwrite(folder / "newcomers.npy", "x"),
    "file added below": lambda folder: ((folder / "blend").mkdir(), _overwrite(folder / "blend" / "a.json", "{}")),
    "manifest missing": lambda folder: (folder / "MANIFEST.json").unlink(),
    "manifest unreadable": lambda folder: _overwrite(folder / "MANIFEST.json", '{"files"'),
    "manifest no manifest": lambda folder: _overwrite(folder / "MANIFEST.json", "[1]"),
    "manifest no text": lambda folder: (folder / "MANIFEST.json").write_bytes(b"\xff\xfe"),
    "manifest changed": _edit_manifest,
    "folder missing": shutil.rmtree,
}
POINTERS = ["", "[]", "{}", '{"version": 1}', '{"version": "../elsewhere"}', '{"version": "0123456789abcdef"}', "\0"]


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damage_is_seen_and_the_next_run_of_the_stage_repairs_it(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    base = tmp_path / "a"
    uri = _write(base, "text")
    assert storage.intact(str(base)) == uri
    damage(Path(uri))
    with pytest.raises(StorageError, match=r"run .*stage.* again"):
        storage.verify(uri)
    assert storage.intact(str(base)) is None
    assert _write(base, "text") == uri == storage.intact(str(base))
    assert Path(uri, "part.txt").read_text() == "text"
    assert {path.name for path in base.iterdir()} == {"CURRENT.json", "locks", Path(uri).name} - (
        {"locks"} if damage is shutil.rmtree else set()
    )


@pytest.mark.parametrize("text", POINTERS)
def test_a_damaged_pointer_is_an_error_that_the_next_run_of_the_stage_repairs(tmp_path: Path, text: str) -> None:
    uri = _write(tmp_path / "a", "text")
    (tmp_path / "a" / "CURRENT.json").write_text(text)
    with pytest.raises(StorageError, match="run the stage that writes it again"):
        storage.read_manifest(storage.current(str(tmp_path / "a")) or "")
    assert storage.intact(str(tmp_path / "a")) is None
    assert _write(tmp_path / "a", "text") == uri == storage.current(str(tmp_path / "a"))


def test_a_pointer_never_leads_out_of_its_folder(tmp_path: Path) -> None:
    _write(tmp_path / "a", "text")
    elsewhere = _write(tmp_path / "b", "other")
    (tmp_path / "a" / "CURRENT.json").write_text(json.dumps({"version": f"../b/{Path(elsewhere).name}"}))
    with pytest.raises(StorageError, match=r"a/CURRENT.json names no version"):
        storage.current(str(tmp_path / "a"))
    assert storage.intact(str(tmp_path / "a")) is None


def test_a_hidden_file_is_no_damage(tmp_path: Path) -> None:
    uri = _write(tmp_path / "a", "text")
    Path(uri, ".DS_Store").write_text("x")
    assert storage.verify(uri).info == {"rows": 4}


def test_a_whole_folder_is_never_moved_when_its_content_is_published_again(tmp_path: Path) -> None:
    uri = _write(tmp_path / "a", "text")
    before = Path(uri).stat().st_ino
    _write(tmp_path / "a", "text")
    assert Path(uri).stat().st_ino == before


def test_who_reads_a_damaged_folder_keeps_its_files_while_it_is_repaired(tmp_path: Path) -> None:
    uri = _write(tmp_path / "a", "text")
    Path(uri, "part.txt").write_text("damaged")
    with Path(uri, "part.txt").open() as stream:
        _write(tmp_path / "a", "text")
        assert stream.read() == "damaged"
    assert Path(uri, "part.txt").read_text() == "text"


def test_writers_that_repair_at_once_leave_one_whole_folder(tmp_path: Path) -> None:
    base = tmp_path / "a"
    uri = _write(base, "text")
    for _ in range(20):
        Path(uri, "part.txt").write_text("damaged")
        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(lambda _: _write(base, "text"), range(4))) == {uri}
        storage.verify(uri)
    assert not [path.name for path in base.iterdir() if path.name.startswith(".")]


def test_a_repair_leaves_alone_what_another_writer_repaired_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / "a"
    uri = _write(base, "text")
    Path(uri, "part.txt").write_text("damaged")
    wait, repaired = folders.locked, []

    @contextmanager
    def locked_late(root: str, name: str) -> Iterator[None]:
        with wait(root, name):
            if not repaired:  # the other writer was first
                repaired.append(Path(uri, "part.txt").write_text("text"))
            yield

    monkeypatch.setattr(folders, "locked", locked_late)
    before = Path(uri).stat().st_ino
    assert _write(base, "text") == uri
    assert Path(uri).stat().st_ino == before


def test_a_full_disk_is_a_storage_error_that_says_what_to_do(tmp_path: Path) -> None:
    old = _write(tmp_path / "a", "x")
    with pytest.raises(StorageError, match="No space left.*run again"), storage.publish(str(tmp_path / "a")):
        raise OSError(28, "No space left on device")
    assert storage.current(str(tmp_path / "a")) == old


FULL = [
    OSError(errno.EDQUOT, "Disk quota exceeded"),
    OSError("No space left on device (os error 28)"),  # Polars
    shutil.Error([("a", "b", "[Errno 28] No space left on device: 'b'")]),
]


@pytest.mark.parametrize("error", FULL, ids=["errno", "Polars", "copytree"])
def test_a_full_disk_is_told_however_the_library_says_it(tmp_path: Path, error: OSError) -> None:
    with pytest.raises(StorageError, match="cannot write .*run again"), storage.publish(str(tmp_path / "a")):
        raise error


def test_a_file_that_cannot_be_made_in_the_folder_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot write"), storage.publish(str(tmp_path / "a")) as publication:
        (publication.path / "missing" / "part.txt").write_text("x")


NOT_OF_WRITING = [
    FileNotFoundError(errno.ENOENT, "No such file or directory", "source.csv"),
    PermissionError(errno.EACCES, "Permission denied", "/elsewhere/source.csv"),
    ConnectionError("MLflow does not answer"),
    TimeoutError("timed out"),
]


@pytest.mark.parametrize("error", NOT_OF_WRITING, ids=lambda error: type(error).__name__)
def test_an_error_of_the_input_is_not_told_as_one_of_writing(tmp_path: Path, error: OSError) -> None:
    old = _write(tmp_path / "a", "x")
    with pytest.raises(type(error)) as raised, storage.publish(str(tmp_path / "a")) as publication:
        (publication.path / "part.txt").write_text("half")
        raise error
    assert raised.value is error
    assert storage.current(str(tmp_path / "a")) == old
    assert not list((tmp_path / "a").glob(".writing-*"))


def test_an_input_that_vanished_while_it_was_copied_is_not_told_as_an_error_of_writing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), storage.publish(str(tmp_path / "a")) as publication:
        shutil.copyfile(tmp_path / "gone", publication.path / "part.txt")


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


@pytest.mark.parametrize("damage", ["changed", "added"])
def test_a_damaged_remote_folder_is_repaired_too(damage: str) -> None:
    base = f"memory://bucket/{damage}"
    with storage.publish(base) as publication:
        (publication.path / "part.txt").write_text("x")
    storage.verify(publication.uri)
    name = {"changed": "part.txt", "added": "more.txt"}[damage]
    storage.write_text(f"{publication.uri}/{name}", "z")
    shutil.rmtree(storage.local_path(publication.uri))  # another machine has no copy yet
    assert storage.intact(base) is None
    with storage.publish(base) as again:
        (again.path / "part.txt").write_text("x")
    assert again.uri == publication.uri == storage.intact(base)
    assert storage.list_names(again.uri) == ["MANIFEST.json", "part.txt"]


def test_a_damaged_remote_folder_is_repaired_where_this_machine_has_a_whole_copy() -> None:
    for _ in range(2):
        with storage.publish("memory://bucket/copied") as publication:
            (publication.path / "part.txt").write_text("x")
        assert storage.read_text(f"{publication.uri}/part.txt") == "x"
        storage.verify(publication.uri)
        storage.write_text(f"{publication.uri}/part.txt", "z")


def test_a_damaged_copy_of_a_whole_remote_folder_is_fetched_again() -> None:
    with storage.publish("memory://bucket/copy") as publication:
        (publication.path / "part.txt").write_text("x")
    copy = storage.local_path(publication.uri) / "part.txt"
    copy.write_text("z")
    storage.verify(publication.uri)
    assert copy.read_text() == "x"


def test_lines_are_appended_to_a_remote_file() -> None:
    for number in range(3):
        storage.append_line("memory://bucket/ledger.jsonl", {"number": number})
    lines = storage.read_text("memory://bucket/ledger.jsonl").splitlines()
    assert [json.loads(line)["number"] for line in lines] == [0, 1, 2]


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
