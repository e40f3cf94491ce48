import threading
from pathlib import Path

from recsys.serving import Champion, read_champion, write_champion


def _champion(version: str) -> Champion:
    fields = {name: f"{name}-{version}" for name in Champion.model_fields}
    return Champion(**{**fields, "version": version})


def test_no_champion_before_the_first(tmp_path: Path) -> None:
    assert read_champion(str(tmp_path)) is None


def test_a_champion_is_read_back(tmp_path: Path) -> None:
    write_champion(str(tmp_path), _champion("1"))
    assert read_champion(str(tmp_path)) == _champion("1")


def test_readers_see_a_whole_champion_while_it_is_replaced(tmp_path: Path) -> None:
    champions = [_champion("1"), _champion("2")]
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
