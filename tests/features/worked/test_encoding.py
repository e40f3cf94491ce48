"""Tables to arrays: missing values, odd ids, other specs, and the folder they are saved to."""

import hashlib
from collections.abc import Callable
from dataclasses import fields
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys.errors import StorageError
from recsys.features import Dataset, TextModel, encode_items, encode_users, load_dataset, reindex

Build = Callable[..., Dataset]
ODD = ("ü", "a,b", "two\nlines", "电影")
ROWS = [(ODD[day % 4], f"i{day % 3}", "view", day) for day in range(10)]
ITEMS = [
    {"item_id": "i0", "title": "Alpha beta", "description": "gamma", "categories": ["x", "y", None], "creator": "c",
     "language": "en", "published_at": datetime(2025, 12, 1), "duration_s": 100.0},
    {"item_id": "i1", "title": None, "description": None, "categories": None, "creator": None},
    {"item_id": "i2", "title": "Delta", "categories": [], "duration_s": float("nan"),
     "published_at": datetime(2025, 11, 1)},
]  # fmt: skip
USERS = [{"user_id": ODD[0], "age": "18-24", "gender": "F"}, {"user_id": ODD[1]}]
CUTS = (7.0, 8.5)


@pytest.fixture
def dataset(build: Build) -> Dataset:
    return build(ROWS, USERS, ITEMS, cutoffs=CUTS)


def _digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def _assert_equal(left: Dataset, right: Dataset) -> None:
    for room in ("items", "users", "events"):
        for field in fields(getattr(left, room)):
            ours, theirs = (getattr(getattr(side, room), field.name) for side in (left, right))
            np.testing.assert_array_equal(np.asarray(ours, object), np.asarray(theirs, object), err_msg=field.name)
            if isinstance(ours, np.ndarray):
                assert ours.dtype == theirs.dtype, field.name
    assert left.spec == right.spec
    assert_frame_equal(left.items_frame, right.items_frame)
    assert_frame_equal(left.users_frame, right.users_frame)


def test_ids_with_unicode_commas_and_newlines_are_kept(dataset: Dataset) -> None:
    assert dataset.users.ids.tolist() == sorted(ODD)
    assert dataset.spec.user_vocab == sorted(ODD)


def test_missing_values_are_index_zero_and_flagged(dataset: Dataset) -> None:
    items = dataset.items
    assert items.titles.tolist() == ["Alpha beta", "", "Delta"]
    assert items.category_names == [["x", "y"], [], []]
    assert items.categories[:, :3].tolist() == [[1, 2, 0], [0, 0, 0], [0, 0, 0]]
    assert items.creator.tolist() == [1, 0, 0]
    assert items.language.tolist() == [1, 0, 0]
    assert items.numeric[:, 2:].tolist() == [[0, 0], [1, 1], [0, 1]]
    assert items.numeric[1, :2].tolist() == [0, 0]
    assert np.isfinite(items.numeric).all()
    assert not items.text[1].any()


def test_numbers_are_normalised_to_train_mean_and_spread(dataset: Dataset) -> None:
    assert dataset.items.numeric[[0, 2], 0] == pytest.approx([-1, 1], abs=1e-5)  # two known ages: one spread apart


def test_users_the_table_lacks_get_a_row_of_unknowns(dataset: Dataset) -> None:
    rows = {str(name): row for name, row in zip(dataset.users.ids, dataset.users.demographics.tolist(), strict=True)}
    assert rows[ODD[0]] == [1, 1, 0, 0]
    assert rows[ODD[1]] == rows[ODD[2]] == rows[ODD[3]] == [0, 0, 0, 0]


def test_items_the_events_name_and_the_table_lacks_get_a_row(build: Build) -> None:
    dataset = build(ROWS, cutoffs=CUTS)
    assert dataset.items.ids.tolist() == ["i0", "i1", "i2"]
    assert dataset.items.train_count.sum() == 7


def test_a_table_that_lists_an_id_twice_gives_one_row_the_last(build: Build) -> None:
    twice = [*ITEMS, {"item_id": "i0", "title": "Newer"}]
    dataset = build(ROWS, USERS, twice, cutoffs=CUTS)
    assert dataset.items.titles.tolist() == ["Newer", "", "Delta"]
    assert len(dataset.events.item) == len(ROWS)


def test_text_vectors_have_length_one_and_like_texts_are_near() -> None:
    texts = ["red wine cellar", "red wine bottle", "football goal", "football match", ""]
    vectors = TextModel.fit(texts, 4).transform(texts)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1, 1, 0], abs=1e-5)
    near = vectors @ vectors.T
    assert near[0, 1] > near[0, 2] + 0.3
    assert near[2, 3] > near[1, 3] + 0.3


@pytest.mark.parametrize("texts", [[], [""], ["one"], ["same", "same"]])
def test_few_texts_give_finite_vectors(texts: list[str]) -> None:
    vectors = TextModel.fit(texts, 8).transform(["one", "other", ""])
    assert vectors.shape == (3, 8)
    assert np.isfinite(vectors).all()


def test_save_and_load_give_the_same_training_set(dataset: Dataset, tmp_path: Path) -> None:
    dataset.save(tmp_path)
    _assert_equal(Dataset.load(tmp_path), dataset)


def test_two_builds_are_byte_identical(build: Build, tmp_path: Path) -> None:
    for name, rows in (("one", ROWS), ("two", ROWS)):
        (tmp_path / name).mkdir()
        build(rows, USERS, ITEMS, cutoffs=CUTS).save(tmp_path / name)
    assert _digests(tmp_path / "one") == _digests(tmp_path / "two")


def test_a_missing_or_damaged_training_set_is_a_clear_error(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="run the features stage again"):
        load_dataset(str(tmp_path / "gone"))
    dataset.save(tmp_path)
    (tmp_path / "event_item.npy").write_bytes(b"")
    for path in tmp_path.glob("*.npy"):
        path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(StorageError, match="cannot read"):
        load_dataset(str(tmp_path))


def test_reindexing_under_its_own_spec_changes_nothing(dataset: Dataset) -> None:
    _assert_equal(reindex(dataset, dataset.spec, dataset.text_model), dataset)


def test_reindexing_under_an_older_spec_keeps_rows_and_renames_values(build: Build, dataset: Dataset) -> None:
    older = build([(ODD[0], "i2", "view", day) for day in (5, 7, 9)], USERS, ITEMS, cutoffs=(6.0, 8.0))
    moved = reindex(dataset, older.spec, older.text_model)
    assert dataset.spec.device_vocab == ["phone", "tv"]
    assert older.spec.device_vocab == ["tv"]
    assert moved.items.vocab.tolist() == [0, 0, 1]
    assert moved.users.vocab.tolist() == [int(name == ODD[0]) for name in sorted(ODD)]
    renamed = np.array([0, 0, 1])  # unknown, phone, tv
    np.testing.assert_array_equal(moved.events.device, renamed[dataset.events.device])
    np.testing.assert_array_equal(moved.events.item, dataset.events.item)
    np.testing.assert_array_equal(moved.items.train_count, dataset.items.train_count)
    expected = older.text_model.transform(["Alpha beta gamma x y", " ", "Delta "])
    np.testing.assert_allclose(moved.items.text, expected, atol=1e-6)


def test_a_single_new_item_is_encoded_as_in_the_whole_table(dataset: Dataset) -> None:
    one = encode_items(dataset.spec, dataset.text_model, dataset.items_frame[:1])
    for name in ("vocab", "categories", "creator", "language", "numeric", "text", "published_at"):
        np.testing.assert_allclose(getattr(one, name), getattr(dataset.items, name)[:1], atol=1e-6)


def test_a_users_table_without_a_column_is_unknown_there(dataset: Dataset) -> None:
    users = encode_users(dataset.spec, pl.DataFrame({"user_id": [ODD[0]], "gender": ["F"]}))
    assert users.demographics.tolist() == [[0, 1, 0, 0]]
