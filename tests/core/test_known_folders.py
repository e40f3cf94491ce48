"""Folders are hashed once, and again when they were touched."""

import os
from pathlib import Path

import pytest

from recsys.errors import StorageError
from recsys.storage import KnownFolders, local_path, publish


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the files that are hashed from now on."""
    from recsys.storage import folders

    names: list[str] = []
    original = folders.sha256_of

    def noted(path: Path) -> str:
        names.append(path.name)
        return original(path)

    monkeypatch.setattr(folders, "sha256_of", noted)
    return names


def _published(root: Path, name: str) -> str:
    with publish(str(root / "snapshots" / name)) as publication:
        (publication.path / f"{name}.txt").write_text(name)
    return publication.uri


def _verify(root: Path, *uris: str) -> None:
    known = KnownFolders(str(root), str(root / "known.json"))
    for uri in uris:
        known.verify(uri)
    known.save()


def test_only_new_folders_are_hashed(tmp_path: Path, hashed: list[str]) -> None:
    first = _published(tmp_path, "a")
    hashed.clear()
    _verify(tmp_path, first)
    assert hashed == ["a.txt"]
    second = _published(tmp_path, "b")
    hashed.clear()
    _verify(tmp_path, first, second)
    assert hashed == ["b.txt"]


def test_the_manifest_is_the_folder_s_own(tmp_path: Path) -> None:
    uri = _published(tmp_path, "a")
    _verify(tmp_path, uri)
    known = KnownFolders(str(tmp_path), str(tmp_path / "known.json"))
    assert known.verify(uri).digest == uri.rsplit("/", 1)[1]


@pytest.mark.parametrize("damage", ["bytes", "bytes and time put back", "added", "removed", "manifest"])
def test_a_touched_folder_is_hashed_again_and_damage_is_found(tmp_path: Path, damage: str) -> None:
    uri = _published(tmp_path, "a")
    _verify(tmp_path, uri)
    folder = local_path(uri)
    file = folder / "a.txt"
    before = file.stat()
    if damage.startswith("bytes"):
        file.write_text("x")
    if damage == "bytes and time put back":
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    if damage == "added":
        (folder / "b.txt").write_text("")
    if damage == "removed":
        file.unlink()
    if damage == "manifest":
        (folder / "MANIFEST.json").write_text("{}")
    with pytest.raises(StorageError):
        _verify(tmp_path, uri)
    with pytest.raises(StorageError):  # nothing was learnt from the failure
        _verify(tmp_path, uri)


def test_a_copied_root_is_hashed_again(tmp_path: Path, hashed: list[str]) -> None:
    uri = _published(tmp_path, "a")
    _verify(tmp_path, uri)
    file = local_path(uri) / "a.txt"
    text = file.read_bytes()
    file.unlink()
    file.write_bytes(text)
    hashed.clear()
    _verify(tmp_path, uri)
    assert hashed == ["a.txt"]


@pytest.mark.parametrize("text", ["", "[]", "no json"])
def test_a_damaged_memory_hashes_everything(tmp_path: Path, hashed: list[str], text: str) -> None:
    uri = _published(tmp_path, "a")
    _verify(tmp_path, uri)
    (tmp_path / "known.json").write_text(text)
    hashed.clear()
    _verify(tmp_path, uri)
    assert hashed == ["a.txt"]


def test_folders_that_are_not_asked_for_any_more_are_forgotten(tmp_path: Path) -> None:
    first, second = _published(tmp_path, "a"), _published(tmp_path, "b")
    _verify(tmp_path, first, second)
    _verify(tmp_path, second)
    assert "snapshots/a" not in (tmp_path / "known.json").read_text()
