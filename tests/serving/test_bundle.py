import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import polars as pl
import pytest

from recsys.errors import StorageError
from recsys.model import ExportedTowers
from recsys.registry import load_bundle, write_bundle
from recsys.storage import local_path, publish


def test_a_bundle_gives_back_what_went_in(place: Any) -> None:
    bundle = load_bundle(place.bundle)
    assert bundle.info["run_key"] == "k1"
    assert bundle.dataset.spec == place.dataset.spec
    assert bundle.dataset.items.titles.tolist() == place.dataset.items.titles.tolist()
    for name in ("item", "kind", "timestamp", "positive", "offsets"):
        np.testing.assert_array_equal(getattr(bundle.dataset.events, name), getattr(place.dataset.events, name))
    np.testing.assert_array_equal(bundle.dataset.users.demographics, place.dataset.users.demographics)
    texts = ["topic1 word2", ""]
    np.testing.assert_array_equal(bundle.dataset.text_model.transform(texts), place.dataset.text_model.transform(texts))


def test_towers_of_an_earlier_release_are_given_the_ages_they_ask_for(place: Any, tmp_path: Path) -> None:
    shutil.copytree(place.towers, tmp_path, dirs_exist_ok=True)
    query = onnx.load(tmp_path / "query.onnx")
    next(each for each in query.graph.input if each.name == "history_ages").name = "history_gaps"
    onnx.save(query, tmp_path / "query.onnx")
    dataset, now = place.dataset, np.array([int(np.max(place.dataset.events.timestamp)) + 1])
    first = np.zeros(1, np.int32)
    of_today, earlier = (
        towers.query_vectors(dataset, towers.history_vectors, first, dataset.events.offsets[1:2], now, first)
        for towers in map(ExportedTowers.load, (place.towers, tmp_path))
    )
    np.testing.assert_array_equal(earlier, of_today)


def test_raw_demographics_and_consent_stay_behind(place: Any) -> None:
    assert pl.read_parquet(local_path(place.bundle) / "dataset" / "users.parquet").columns == ["user_id"]


def test_equal_input_publishes_one_bundle(place: Any) -> None:
    with publish(str(Path(place.bundle).parent)) as again:
        write_bundle(again.path, place.towers, place.dataset, {"run_key": "k1"})
    assert again.uri == place.bundle


@pytest.mark.parametrize("name", ["towers/query.onnx", "dataset/event_item.npy", "dataset/spec.json", "bundle.json"])
def test_a_changed_file_is_named(place: Any, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(place.bundle, folder)
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(StorageError, match=name):
        load_bundle(str(folder))


def test_a_newer_format_asks_for_an_upgrade(place: Any, tmp_path: Path) -> None:
    shutil.copytree(place.bundle, tmp_path / "bundle")
    path = tmp_path / "bundle" / "bundle.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(StorageError, match="format 99"):
        load_bundle(str(tmp_path / "bundle"), check=False)


@pytest.mark.slow
def test_serving_imports_neither_tensorflow_nor_mlflow() -> None:
    code = "import recsys.serving, sys; print([n for n in ('tensorflow', 'mlflow', 'airflow') if n in sys.modules])"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "[]"
