import json
import threading
from pathlib import Path

import pytest

from recsys.errors import StorageError
from recsys.serving import Champion, read_champion, write_champion
from recsys.storage import write_json

ADDRESSES = ("bundle", "index", "dataset", "evaluation", "recipe_towers", "recipe_features")


def _champion(root: Path, version: str) -> Champion:
    fields = {name: f"{name}-{version}" for name in Champion.model_fields}
    addresses = {name: f"{root}/{name}s/k/{version}" for name in ADDRESSES}
    return Champion(**fields | addresses | {"version": version, "quality": 1.0})


def test_no_champion_before_the_first(tmp_path: Path) -> None:
    assert read_champion(str(tmp_path)) is None


def test_a_champion_is_read_back(tmp_path: Path) -> None:
    write_champion(str(tmp_path), _champion(tmp_path, "1"))
    assert read_champion(str(tmp_path)) == _champion(tmp_path, "1")


def test_the_file_names_nothing_but_what_lies_below_the_root(tmp_path: Path) -> None:
    write_champion(str(tmp_path), _champion(tmp_path, "1"))
    text = (tmp_path / "serving" / "champion.json").read_text()
    assert str(tmp_path) not in text and json.loads(text)["bundle"] == "bundles/k/1"
    with pytest.raises(StorageError, match="outside the storage root"):
        write_champion(str(tmp_path / "other"), _champion(tmp_path, "2"))


def test_a_champion_is_found_where_its_root_has_moved(tmp_path: Path) -> None:
    write_champion(str(tmp_path / "state"), _champion(tmp_path / "state", "1"))
    (tmp_path / "state").rename(tmp_path / "restored")
    assert read_champion(str(tmp_path / "restored")) == _champion(tmp_path / "restored", "1")


@pytest.mark.parametrize("old", ["/srv/state", "state/data", "{root}"])
def test_a_file_with_addresses_of_before_a_move_is_read_too(tmp_path: Path, old: str) -> None:
    for name in ADDRESSES:
        (tmp_path / f"{name}s" / "k" / "1").mkdir(parents=True)
    record = _champion(Path(old.format(root=tmp_path)), "1").model_dump()
    write_json(f"{tmp_path}/serving/champion.json", record)
    assert read_champion(str(tmp_path)) == _champion(tmp_path, "1")


def test_readers_see_a_whole_champion_while_it_is_replaced(tmp_path: Path) -> None:
    champions = [_champion(tmp_path, "1"), _champion(tmp_path, "2")]
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
    assert [path.name for path in (tmp_path / "serving").iterdir()] == ["champion.json"]
