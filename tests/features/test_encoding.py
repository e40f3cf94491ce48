"""Tables to arrays: missing values, rows the tables lack, new rows, and other specs."""

from dataclasses import fields
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys.features import Dataset, TextModel, encode_items, encode_users, reindex
from recsys.features.encode import texts
from tests.features.conftest import Build, Frames

NAMES = ("ann", "bob", "cid", "dee")
ROWS = [(NAMES[day % 4], f"i{day % 3}", "view", 24 * day) for day in range(10)]
CUTS = (168.0, 204.0)  # train is days 0 to 6
DEVICES = ["phone", "tv"] * 3 + ["tv"] + ["tablet"] * 3
ITEMS = [
    {"item_id": "i0", "title": "Alpha beta", "description": "gamma", "categories": ["x", "x", None, "y", "z"],
     "creator": "c", "language": "en", "published_at": datetime(2025, 12, 1, tzinfo=UTC), "duration_s": 100.0},
    {"item_id": "i1"},
    {"item_id": "i2", "title": "Delta", "categories": [], "duration_s": float("nan"),
     "published_at": datetime(2025, 11, 1, tzinfo=UTC)},
]  # fmt: skip
USERS = [{"user_id": "ann", "age": "18-24", "gender": "F"}, {"user_id": "bob"}]


@pytest.fixture(scope="module")
def dataset(events: Frames, build: Build) -> Dataset:
    return build(events(*ROWS).with_columns(pl.Series("device", DEVICES)), USERS, ITEMS, cutoffs=CUTS)


def test_missing_values_are_index_zero_and_flagged(dataset: Dataset) -> None:
    items = dataset.items
    assert items.titles.tolist() == ["Alpha beta", "", "Delta"]
    assert items.category_names.to_list() == [["x", "x", "y", "z"], [], []]
    assert items.categories.tolist() == [[1, 2], [0, 0], [0, 0]]  # repeated once, and no more than two
    assert items.creator.tolist() == [1, 0, 0]
    assert items.language.tolist() == [1, 0, 0]
    assert items.numeric[:, 2:].tolist() == [[0, 0], [1, 1], [0, 1]]
    assert items.numeric[1, :2].tolist() == [0, 0]
    assert np.isfinite(items.numeric).all()
    assert not items.text[1].any()


def test_infinite_durations_count_as_missing(dataset: Dataset, items: Frames) -> None:
    arrays = encode_items(dataset.spec, dataset.text_model, items({"item_id": "x", "duration_s": float("inf")}))
    assert arrays.numeric.tolist() == [[0, 0, 1, 1]]


def test_an_item_that_expired_in_1970_or_before_is_no_item_that_never_expires(dataset: Dataset, items: Frames) -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    expiries = [None, epoch, epoch.replace(microsecond=500_000), epoch.replace(year=1969), epoch.replace(second=1)]
    rows = items(*({"item_id": f"x{n}", "expires_at": at} for n, at in enumerate(expiries)))
    encoded = encode_items(dataset.spec, dataset.text_model, rows).expires_at
    assert encoded.tolist() == [0, -1, -1, -31_536_000, 1]


def test_a_text_is_title_description_creator_as_one_word_and_categories(items: Frames) -> None:
    whole = {"title": "Alpha", "description": "beta", "creator": "Kim Lee-Ray", "categories": ["x", None, "y"]}
    assert texts(items({"item_id": "i", **whole}, {"item_id": "j"})) == ["Alpha beta by_Kim_Lee_Ray x y", " "]


def test_users_the_table_lacks_get_a_row_of_unknowns(dataset: Dataset) -> None:
    assert dataset.users.ids.tolist() == list(NAMES)
    assert dataset.users.vocab.tolist() == [1, 2, 3, 4]
    assert dataset.users.demographics.tolist() == [[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_a_table_that_lists_an_id_twice_gives_one_row_the_last(build: Build) -> None:
    again = build(
        ROWS, [*USERS, {"user_id": "ann", "age": "65+"}], [*ITEMS, {"item_id": "i0", "title": "Newer"}], cutoffs=CUTS
    )
    assert again.items.titles.tolist() == ["Newer", "", "Delta"]
    assert again.spec.demographic_vocabs["age"] == ["65+"]
    assert len(again.events.item) == len(ROWS)


def test_a_single_new_item_is_encoded_as_in_the_whole_table(dataset: Dataset) -> None:
    one = encode_items(dataset.spec, dataset.text_model, dataset.items_frame[:1])
    for name in ("vocab", "categories", "creator", "language", "numeric", "text", "published_at"):
        np.testing.assert_allclose(getattr(one, name), getattr(dataset.items, name)[:1], atol=1e-6)


def test_new_users_are_encoded_by_the_demographics_their_table_has(dataset: Dataset, users: Frames) -> None:
    tables = (
        users({"user_id": "new", "gender": "F"}),
        pl.DataFrame({"user_id": ["new"], "gender": ["F"]}),
        pl.DataFrame({"user_id": ["new"]}),
    )
    arrays = [encode_users(dataset.spec, table) for table in tables]
    assert [each.vocab.tolist() for each in arrays] == [[0]] * 3
    assert [each.demographics.tolist() for each in arrays] == [[[0, 1, 0, 0]], [[0, 1, 0, 0]], [[0, 0, 0, 0]]]


def test_reindexing_under_another_spec_keeps_rows_and_takes_its_codes(dataset: Dataset) -> None:
    vocabularies = {"item_vocab": ["i2"], "user_vocab": ["dee"], "device_vocab": ["tablet", "tv"]}
    spec = dataset.spec.model_copy(update=vocabularies | {"creator_vocab": ["b", "c"]})
    moved = reindex(dataset, spec, TextModel.fit(["delta"], 4))
    assert moved.items.ids.tolist() == ["i0", "i1", "i2"]
    assert moved.items.vocab.tolist() == [0, 0, 1]
    assert moved.users.vocab.tolist() == [0, 0, 0, 1]
    assert moved.items.creator.tolist() == [2, 0, 0]
    assert [row.any() for row in moved.items.text] == [False, False, True]
    assert dataset.spec.device_vocab == ["phone", "tv"]
    assert set(dataset.events.device.tolist()) == {0, 1, 2}
    renamed = np.array([0, 0, 2])  # unknown, phone, tv
    np.testing.assert_array_equal(moved.events.device, renamed[dataset.events.device])
    np.testing.assert_array_equal(moved.events.item, dataset.events.item)
    assert moved.items.train_count.tolist() == [3, 2, 2]


def test_reindexing_under_its_own_spec_changes_nothing(dataset: Dataset) -> None:
    same = reindex(dataset, dataset.spec, dataset.text_model)
    for room in ("items", "users", "events"):
        for field in fields(getattr(same, room)):
            ours, theirs = (getattr(getattr(side, room), field.name) for side in (same, dataset))
            assert list(map(str, ours)) == list(map(str, theirs)), field.name
            if isinstance(ours, np.ndarray):
                assert ours.dtype == theirs.dtype, field.name
    assert same.spec == dataset.spec
    assert_frame_equal(same.items_frame, dataset.items_frame)
    assert_frame_equal(same.users_frame, dataset.users_frame)
