import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from recsys.errors import StorageError
from recsys.model import ExportedTowers
from recsys.registry import load_bundle, write_bundle
from recsys.scoring import LabelCounts
from recsys.storage import local_path, publish


def test_a_bundle_gives_back_what_went_in(place: Any) -> None:
    bundle = load_bundle(place.bundle)
    assert bundle.info["run_key"] == "k1"
    assert bundle.dataset.spec == place.dataset.spec
    assert bundle.dataset.items.titles.tolist() == place.dataset.items.titles.tolist()
    assert bundle.last_second == place.dataset.events.timestamp.max()
    counts, expected = bundle.label_counts, LabelCounts.of(place.dataset)
    np.testing.assert_array_equal(counts.overall, expected.overall)
    for name in ("by_label", "totals"):
        for mine, theirs in zip(getattr(counts, name), getattr(expected, name), strict=True):
            assert not (mine != theirs).sum()
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


def test_no_user_and_no_event_is_in_a_bundle(place: Any) -> None:
    bundle = load_bundle(place.bundle)
    assert not len(bundle.dataset.users.ids) and not len(bundle.dataset.events.item)
    named = [path for path in local_path(place.bundle).rglob("*") if path.is_file() and b"u003" in path.read_bytes()]
    assert [path.name for path in named] == ["spec.json"]  # the towers' own list of ids


def test_equal_input_publishes_one_bundle(place: Any) -> None:
    with publish(str(Path(place.bundle).parent)) as again:
        write_bundle(again.path, place.towers, place.dataset, {"run_key": "k1"}, prior=load_bundle(place.bundle).prior)
    assert again.uri == place.bundle


@pytest.mark.parametrize(
    "name", ["towers/query.onnx", "dataset/item_text.npy", "label_counts.npz", "dataset/spec.json", "bundle.json"]
)
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
