from pathlib import Path

import pytest

from recsys.config import load_config
from recsys.errors import ConfigError
from recsys.stack.datasets import write_config


def test_the_demo_is_an_ordinary_configuration(tmp_path: Path) -> None:
    config = load_config(write_config(tmp_path, "demo", None))
    assert config.source.kind == "demo"
    assert Path(config.storage) == tmp_path / "demo" / "data"


@pytest.mark.parametrize("release", ["100k", "1m"])
def test_movielens_is_read_from_the_given_folder(tmp_path: Path, release: str) -> None:
    data = tmp_path / 'ml "quoted"'
    data.mkdir()
    config = load_config(write_config(tmp_path, f"movielens-{release}", data))
    assert config.source.kind == "movielens"
    assert config.source.release == release
    assert Path(config.source.path) == data


def test_an_unknown_dataset_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="DATASET must be one of demo, movielens-100k, movielens-1m; got 'netflix'"):
        write_config(tmp_path, "netflix", None)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"DATA_DIR must be a folder.*nowhere"):
        write_config(tmp_path, "movielens-1m", tmp_path / "nowhere")
