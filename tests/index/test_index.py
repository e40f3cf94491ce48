import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.config import IndexConfig
from recsys.errors import ConfigError, GateError, StorageError
from recsys.features import StringColumn
from recsys.index import AnnoyIndex, ExactIndex, export_index, load_index, vectors_digest
from recsys.index.export import recall_of

DIM = 16
CONFIG = IndexConfig()


def _vectors(n: int, seed: int, spread: float = 0.5) -> np.ndarray:
    generator = np.random.default_rng(seed)
    lengths = generator.lognormal(0, spread, (n, 1))
    return (generator.normal(size=(n, DIM)) * lengths).astype(np.float32)


def _ids(n: int) -> StringColumn:
    return StringColumn.of(f"item,{row}\n☃" for row in range(n))


def _export(n_items: int, folder: Path) -> Any:
    folder.mkdir(parents=True, exist_ok=True)
    return export_index(CONFIG, _ids(n_items), _vectors(n_items, 1), _vectors(30, 2), folder)


@pytest.mark.parametrize("n_items", [1, 10, 2000])
@pytest.mark.parametrize("spread", [0.0, 0.7])
def test_annoy_finds_what_brute_force_finds(tmp_path: Path, n_items: int, spread: float) -> None:
    items, queries = _vectors(n_items, 1, spread), _vectors(50, 2)
    index = AnnoyIndex.build(items, tmp_path / "items.annoy", n_trees=20, seed=3)
    index.search_k = 20 * n_items
    rows, scores = index.query(queries, min(100, n_items))
    expected, expected_scores = ExactIndex(items).query(queries, min(100, n_items))
    assert np.mean(rows == expected) > 0.98
    np.testing.assert_allclose(scores[rows == expected], expected_scores[rows == expected], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["exact", "annoy"])
def test_k_beyond_the_catalogue_is_padded(tmp_path: Path, kind: str) -> None:
    items = _vectors(3, 1)
    index = ExactIndex(items) if kind == "exact" else AnnoyIndex.build(items, tmp_path / "i.annoy", 5, 0)
    rows, scores = index.query(_vectors(2, 2), 5)
    assert (rows[:, 3:] == -1).all() and np.isneginf(scores[:, 3:]).all()
    assert sorted(rows[0, :3].tolist()) == [0, 1, 2]
    assert (np.diff(scores[:, :3]) <= 0).all()


@pytest.mark.parametrize("kind", ["exact", "annoy"])
def test_equal_scores_come_in_row_order(tmp_path: Path, kind: str) -> None:
    items = np.repeat(_vectors(1, 1), 9, axis=0)
    index = ExactIndex(items) if kind == "exact" else AnnoyIndex.build(items, tmp_path / "i.annoy", 5, 0)
    assert index.query(_vectors(1, 2), 9)[0][0].tolist() == list(range(9))


@given(st.integers(1, 12), st.integers(1, 15), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_exact_search_equals_a_stable_sort(n_items: int, k: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    items = generator.integers(-2, 3, (n_items, 2)).astype(np.float32)
    queries = generator.integers(-2, 3, (5, 2)).astype(np.float32)
    expected = np.argsort(-(queries @ items.T), axis=1, kind="stable")[:, :k]
    assert ExactIndex(items).query(queries, k)[0][:, :n_items].tolist() == expected.tolist()


@pytest.mark.parametrize("n_items", [1, 10, 2000])
def test_export_reaches_recall_and_loads_again(tmp_path: Path, n_items: int) -> None:
    about = _export(n_items, tmp_path)
    assert about.recall >= 0.98
    assert about.recall_k == min(100, n_items)
    index, ids, loaded = load_index(tmp_path)
    assert loaded == about
    assert ids.tolist() == _ids(n_items).tolist()
    assert index.n_items == n_items


def test_identical_vectors_are_no_loss_of_recall(tmp_path: Path) -> None:
    items = np.repeat(_vectors(1, 1), 500, axis=0)
    assert export_index(CONFIG, _ids(500), items, _vectors(5, 2), tmp_path).recall == 1.0


def test_equal_input_writes_equal_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        _export(300, tmp_path / name)
    for path in sorted((tmp_path / "a").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_unreachable_recall_is_refused_with_value_and_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsys.index.export.recall_of", lambda *_: 0.5)
    with pytest.raises(GateError, match=r"recall against exact search at 10 items is 0\.5000 at worst, below 0\.98"):
        _export(10, tmp_path)


def test_nan_vectors_and_empty_catalogues_are_refused(tmp_path: Path) -> None:
    items = _vectors(10, 1)
    items[3, 3] = np.nan
    for wrong in (items, items[:0]):
        with pytest.raises(GateError, match="finite item vectors"):
            export_index(CONFIG, _ids(len(wrong)), wrong, _vectors(5, 2), tmp_path)


def test_a_missing_index_file_is_named(tmp_path: Path) -> None:
    _export(2, tmp_path)
    (tmp_path / "items.annoy").unlink()
    with pytest.raises(StorageError, match=r"items\.annoy"):
        load_index(tmp_path)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot write the index"):
        AnnoyIndex.build(_vectors(3, 1), tmp_path / "nowhere" / "items.annoy", 5, 0)


def test_missing_annoy_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_annoy(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "annoy":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_annoy)
    with pytest.raises(ConfigError, match=r"C\+\+ compiler"):
        AnnoyIndex.build(_vectors(3, 1), tmp_path / "items.annoy", 5, 0)


def test_recall_is_gated_at_every_depth_that_serving_asks_for(tmp_path: Path) -> None:
    items, queries = _vectors(3000, 1), _vectors(40, 2)
    about = export_index(CONFIG, _ids(3000), items, queries, tmp_path, ks=(100, 600))
    index, _, _ = load_index(tmp_path)
    for depth in (100, 600):
        exact, found = ExactIndex(items).query(queries, depth)[1], index.query(queries, depth)[1]
        assert recall_of(found, exact) >= CONFIG.min_recall
    assert about.recall_k == 100


def test_an_index_names_the_vectors_it_was_built_from(tmp_path: Path) -> None:
    items = _vectors(50, 1)
    about = export_index(CONFIG, _ids(50), items, _vectors(5, 2), tmp_path)
    assert about.vectors == vectors_digest(items)
    assert about.vectors != vectors_digest(items[::-1])
