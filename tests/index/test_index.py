from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.config import Config, IndexConfig
from recsys.errors import GateError, StorageError
from recsys.index import AnnoyIndex, ExactIndex, best_columns, export_index, load_index, recall_at_k, vectors_sha

DIM = 16


def _vectors(n: int, seed: int, spread: float = 0.5) -> np.ndarray:
    generator = np.random.default_rng(seed)
    lengths = generator.lognormal(0, spread, (n, 1))
    return (generator.normal(size=(n, DIM)) * lengths).astype(np.float32)


@pytest.mark.parametrize("n_items", [1, 10, 2000])
@pytest.mark.parametrize("spread", [0.0, 0.7])
def test_annoy_finds_what_brute_force_finds(tmp_path: Path, n_items: int, spread: float) -> None:
    items, queries = _vectors(n_items, 1, spread), _vectors(50, 2)
    index = AnnoyIndex.build(items, tmp_path / "items.annoy", n_trees=20, seed=3)
    exact = ExactIndex(items)
    rows, scores = index.query(queries, min(100, n_items), search_k=20 * n_items)
    expected, expected_scores = exact.query(queries, min(100, n_items))
    assert np.mean(rows == expected) > 0.98
    np.testing.assert_allclose(scores[rows == expected], expected_scores[rows == expected], rtol=1e-4, atol=1e-5)
    assert recall_at_k(index, exact, queries, min(100, n_items), 20 * n_items) >= 0.98


@pytest.mark.parametrize("kind", ["exact", "annoy"])
def test_k_beyond_the_catalogue_is_padded(tmp_path: Path, kind: str) -> None:
    items = _vectors(3, 1)
    index = ExactIndex(items) if kind == "exact" else AnnoyIndex.build(items, tmp_path / "i.annoy", 5, 0)
    rows, scores = index.query(_vectors(2, 2), 5)
    assert (rows[:, 3:] == -1).all() and np.isneginf(scores[:, 3:]).all()
    assert sorted(rows[0, :3].tolist()) == [0, 1, 2]
    assert (np.diff(scores[:, :3]) <= 0).all()


@given(st.integers(1, 12), st.integers(1, 15), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_best_columns_equal_a_stable_sort(m: int, k: int, seed: int) -> None:
    scores = np.random.default_rng(seed).integers(0, 4, (5, m)).astype(np.float32)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    assert best_columns(scores, k).tolist() == expected.tolist()


def test_wrong_query_shape_and_k_are_named() -> None:
    index = ExactIndex(_vectors(3, 1))
    with pytest.raises(ValueError, match=r"shape \[n, 16\]; got \[2, 3\]"):
        index.query(np.zeros((2, 3), np.float32), 1)
    with pytest.raises(ValueError, match="k must be >= 1; got 0"):
        index.query(np.zeros((2, DIM), np.float32), 0)


@pytest.mark.parametrize("n_items", [1, 10, 2000])
def test_export_reaches_recall_and_loads_again(tmp_path: Path, n_items: int) -> None:
    items, queries = _vectors(n_items, 1), _vectors(30, 2)
    ids = [f"item,{row}\n" for row in range(n_items)]
    result = export_index(Config(), ids, items, queries, tmp_path / "index")
    assert result["recall"] >= 0.98
    assert result["n_items"] == n_items
    index, loaded, info = load_index(tmp_path / "index")
    assert loaded == ids
    assert info.vectors_sha == vectors_sha(items)
    assert recall_at_k(index, ExactIndex(items), queries, min(100, n_items)) == pytest.approx(result["recall"])


def test_identical_vectors_are_no_loss_of_recall(tmp_path: Path) -> None:
    items = np.repeat(_vectors(1, 1), 500, axis=0)
    result = export_index(Config(), [str(row) for row in range(500)], items, _vectors(5, 2), tmp_path)
    assert result["recall"] == 1.0


def test_equal_input_writes_equal_files(tmp_path: Path) -> None:
    items, queries = _vectors(300, 1), _vectors(10, 2)
    for name in ("a", "b"):
        export_index(Config(), [str(row) for row in range(300)], items, queries, tmp_path / name)
    for path in sorted((tmp_path / "a").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_unreachable_recall_is_refused_with_value_and_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config(index=IndexConfig(min_recall=0.98))
    monkeypatch.setattr("recsys.index.export.recall_at_k", lambda *_: 0.5)
    with pytest.raises(GateError, match=r"recall@10 of the index is 0\.5000, limit 0\.98"):
        export_index(config, [str(row) for row in range(10)], _vectors(10, 1), _vectors(5, 2), tmp_path)


def test_nan_vectors_are_refused(tmp_path: Path) -> None:
    items = _vectors(10, 1)
    items[3, 3] = np.nan
    with pytest.raises(GateError, match="finite"):
        export_index(Config(), [str(row) for row in range(10)], items, _vectors(5, 2), tmp_path)


def test_a_missing_index_file_is_named(tmp_path: Path) -> None:
    export_index(Config(), ["a", "b"], _vectors(2, 1), _vectors(2, 2), tmp_path)
    (tmp_path / "items.annoy").unlink()
    with pytest.raises(StorageError, match=r"items\.annoy"):
        load_index(tmp_path)
