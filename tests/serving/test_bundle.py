import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from recsys.errors import StorageError
from recsys.registry import load_bundle, write_bundle


def test_a_bundle_gives_back_what_went_in(place: Any) -> None:
    bundle = load_bundle(place.bundle)
    assert bundle.info.n_items == len(place.dataset.items.ids)
    assert bundle.dataset.spec == place.dataset.spec
    assert bundle.dataset.items.titles.tolist() == place.dataset.items.titles.tolist()
    for name in ("item", "kind", "timestamp", "positive", "offsets"):
        np.testing.assert_array_equal(getattr(bundle.dataset.events, name), getattr(place.dataset.events, name))
    np.testing.assert_array_equal(bundle.dataset.users.demographics, place.dataset.users.demographics)
    texts = ["topic1 word2", ""]
    np.testing.assert_array_equal(
        bundle.dataset.text_model.transform(texts), place.dataset.text_model.transform(texts)
    )


def test_raw_demographics_stay_behind(place: Any) -> None:
    assert pl.read_parquet(place.bundle / "users.parquet").columns == ["user_id"]


def test_equal_input_writes_equal_bundles(place: Any, tmp_path: Path) -> None:
    write_bundle(tmp_path / "again", place.towers, place.dataset, place.config)
    assert load_bundle(tmp_path / "again").info == load_bundle(place.bundle).info


@pytest.mark.parametrize("name", ["query.onnx", "event_item.npy", "items.parquet", "spec.json"])
def test_a_changed_file_is_named(place: Any, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(place.bundle, folder)
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(StorageError, match=name):
        load_bundle(folder)


def test_towers_of_another_dataset_are_refused(place: Any, tmp_path: Path) -> None:
    shutil.copytree(place.towers, tmp_path / "towers")
    np.save(tmp_path / "towers" / "item_vectors.npy", np.zeros((3, 8), np.float32))
    with pytest.raises(StorageError, match="another dataset"):
        write_bundle(tmp_path / "bundle", tmp_path / "towers", place.dataset, place.config)


def test_serving_imports_neither_tensorflow_nor_mlflow() -> None:
    code = "import recsys.serving, sys; print([n for n in ('tensorflow', 'mlflow', 'airflow') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert done.stdout.strip() == "[]"
