import json
import threading
from pathlib import Path

import pytest

from recsys.errors import StorageError
from recsys.serving import Champion, read_champion, write_champion


def _champion(root: Path, version: str) -> Champion:
    for name in ("bundles", "indexes"):
        (root / name / version).mkdir(parents=True, exist_ok=True)
    return Champion(version=version, bundle=str(root / "bundles" / version), index=str(root / "indexes" / version))


def test_no_champion_before_the_first(tmp_path: Path) -> None:
    assert read_champion(str(tmp_path)) is None


def test_a_champion_is_read_back(tmp_path: Path) -> None:
    champion = _champion(tmp_path, "1")
    write_champion(str(tmp_path), champion)
    assert read_champion(str(tmp_path)) == champion


def test_a_version_without_folders_never_serves(tmp_path: Path) -> None:
    first = _champion(tmp_path, "1")
    write_champion(str(tmp_path), first)
    with pytest.raises(StorageError, match="is missing"):
        write_champion(str(tmp_path), first.model_copy(update={"version": "2", "index": str(tmp_path / "none")}))
    assert read_champion(str(tmp_path)) == first


def test_readers_see_a_whole_champion_while_it_is_replaced(tmp_path: Path) -> None:
    champions = [_champion(tmp_path, version) for version in ("1", "2")]
    write_champion(str(tmp_path), champions[0])
    done = threading.Event()

    def swap() -> None:
        for turn in range(100):
            write_champion(str(tmp_path), champions[turn % 2])
        done.set()

    writer = threading.Thread(target=swap)
    writer.start()
    while not done.is_set():
        assert read_champion(str(tmp_path)) in champions
    writer.join()


def test_a_damaged_pointer_is_named(tmp_path: Path) -> None:
    (tmp_path / "serving").mkdir()
    (tmp_path / "serving" / "champion.json").write_text(json.dumps({"version": 1}))
    with pytest.raises(StorageError, match=r"champion\.json"):
        read_champion(str(tmp_path))
