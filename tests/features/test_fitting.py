"""What is fitted, by hand; and that nothing is fitted on what came after train."""

import numpy as np
import polars as pl
import pytest

from recsys.features import Dataset
from recsys.features.text import _counts
from tests.features.conftest import CUTS, Build, Frames, at

# Item a is met in train, b in validation and c in test only; d is disliked; z is in no table; u2 has no train events.
ROWS = [
    ("u1", "a", "click", 1),
    ("u1", "d", "dislike", 2),
    ("u1", "z", "click", 24),
    ("u2", "b", "click", 101),
    ("u2", "c", "like", 201),
]
USERS = [{"user_id": "u1", "gender": "f"}, {"user_id": "u2", "gender": "m", "age": "18-24"}]
ITEMS = [
    {"item_id": "a", "title": "red apple", "categories": ["new", "fruit"], "creator": "kim", "language": "en",
     "published_at": at(-24), "duration_s": 9.0},
    {"item_id": "b", "title": "blue boat", "categories": ["sea", "fruit"], "creator": "lee", "language": "de",
     "published_at": at(100)},
    {"item_id": "c", "title": "green car", "categories": ["road"], "published_at": at(200), "duration_s": 9e6},
    {"item_id": "d", "title": "old dog", "categories": ["pets"], "published_at": at(0)},
]  # fmt: skip


@pytest.fixture(scope="module")
def world(events: Frames, build: Build) -> Dataset:
    rows = events(*ROWS).with_columns(pl.Series("device", ["tv", "tv", "tv", "phone", "phone"]))
    return build(rows, USERS, ITEMS, cutoffs=CUTS)


def test_vocabularies_hold_only_what_train_showed(world: Dataset) -> None:
    spec = world.spec
    assert spec.item_vocab == ["a", "z"]
    assert spec.user_vocab == ["u1"]
    assert spec.category_vocab == ["fruit", "new"]
    assert (spec.creator_vocab, spec.language_vocab, spec.device_vocab) == (["kim"], ["en"], ["tv"])
    assert spec.demographic_vocabs == {"age": [], "gender": ["f"], "location": [], "occupation": []}


def test_unknown_values_are_zero_and_rows_stay_in_the_catalogue(world: Dataset) -> None:
    assert world.items.ids.tolist() == ["a", "b", "c", "d", "z"]
    assert world.items.vocab.tolist() == [1, 0, 0, 0, 2]
    assert world.items.categories.tolist() == [[2, 1], [1, 0], [0, 0], [0, 0], [0, 0]]
    assert world.items.creator.tolist() == [1, 0, 0, 0, 0]
    assert world.items.language.tolist() == [1, 0, 0, 0, 0]
    assert world.items.train_count.tolist() == [1, 0, 0, 0, 1]
    assert world.users.demographics.tolist() == [[0, 1, 0, 0], [0, 0, 0, 0]]
    assert world.events.device.tolist() == [1, 1, 1, 0, 0]


def test_rare_users_and_items_get_no_id_but_keep_their_rows(build: Build) -> None:
    rows = [("a", "i1", "view", 0), ("a", "i2", "view", 24), ("b", "i1", "view", 48), ("c", "i3", "view", 72),
            ("a", "i1", "view", 96),
            *[(user, item, "view", 101 + day * 24) for user, item in (("b", "i2"), ("c", "i3")) for day in (0, 5)]]  # fmt: skip
    dataset = build(rows, cutoffs=CUTS, min_user_events=2, min_item_events=2)
    assert (dataset.spec.user_vocab, dataset.spec.item_vocab) == (["a"], ["i1"])
    assert dataset.items.vocab.tolist() == [1, 0, 0]
    assert dataset.users.vocab.tolist() == [1, 0, 0]
    assert dataset.items.train_count.tolist() == [3, 1, 1]


def test_text_weights_know_nothing_of_items_met_or_published_after_train(world: Dataset) -> None:
    known = np.unique(_counts(["red apple by_kim fruit new", "old dog pets"]).indices)
    assert np.flatnonzero(world.text_model.topics.any(axis=1)).tolist() == known.tolist()
    # three training texts, those of a, d and z, whose text is empty; each known word stands in one of them
    assert world.text_model.idf[known] == pytest.approx(np.log(4 / 2) + 1)
    assert np.delete(world.text_model.idf, known) == pytest.approx(np.log(4) + 1)
    assert not world.items.text[2].any()


def test_numeric_features_are_normalised_on_train_with_flags_for_missing(world: Dataset) -> None:
    # a is the only train item with a date: 2 days old at the last train event; log(1 + 9) for its duration
    assert world.spec.as_of == "2026-01-06T00:00:00+00:00"
    assert world.spec.numeric_means == pytest.approx([np.log(3), np.log(10)])
    assert world.spec.numeric_stds == [1.0, 1.0]  # one known value has no spread
    expected = [
        [0, 0, 0, 0],
        [-np.log(3), 0, 0, 1],  # published later: age 0; no duration
        [-np.log(3), np.log(9e6 + 1) - np.log(10), 0, 0],
        [np.log(2) - np.log(3), 0, 0, 1],
        [0, 0, 1, 1],
    ]
    assert world.items.numeric == pytest.approx(np.array(expected), abs=1e-5)


def test_two_known_ages_stand_one_spread_from_their_mean(build: Build) -> None:
    rows = [("u", "a", "view", 1), ("u", "b", "view", 2), ("u", "a", "view", 101), ("u", "a", "view", 201)]
    catalogue = [{"item_id": "a", "published_at": at(-100)}, {"item_id": "b", "published_at": at(-1000)}]
    numeric = build(rows, items=catalogue, cutoffs=CUTS).items.numeric
    assert numeric[:, 0] == pytest.approx([-1, 1], abs=1e-5)


def test_as_of_moves_ages_only(build: Build) -> None:
    rows = [("u", "a", "click", 1), ("u", "b", "click", 101), ("u", "c", "click", 201)]
    catalogue = [{"item_id": "a", "published_at": at(0)}]
    spec, default = (build(rows, items=catalogue, cutoffs=CUTS, as_of=time).spec for time in (at(72), None))
    assert spec.as_of == "2026-01-08T00:00:00+00:00"
    assert spec.numeric_means[0] == pytest.approx(np.log(4))
    moved = {"as_of", "numeric_means"}
    assert spec.model_dump(exclude=moved) == default.model_dump(exclude=moved)


def test_the_future_changes_nothing_that_was_fitted(world: Dataset, events: Frames, build: Build) -> None:
    late = [("u9", "b", "click", 105), ("u1", "q", "like", 150), ("u9", "q", "share", 250), ("u1", "c", "like", 260)]
    catalogue = [item for item in ITEMS if item["item_id"] != "c"]
    new = {"item_id": "q", "title": "red boat", "categories": ["later"], "published_at": at(90), "duration_s": 5.0}
    other = build(events(*ROWS[:3], *late, device="tv"), USERS, [*catalogue, new], cutoffs=CUTS)
    assert other.spec.model_dump(exclude={"info"}) == world.spec.model_dump(exclude={"info"})
    for part in ("idf", "tastes", "topics"):
        np.testing.assert_array_equal(getattr(other.text_model, part), getattr(world.text_model, part))


def test_later_meetings_teach_texts_nothing(build: Build) -> None:
    themes = ("war", "love")
    catalogue = [{"item_id": f"i{n:02d}", "title": f"{themes[n % 2]} filler{n % 7}"} for n in range(40)]
    early = [(f"u{n % 6}", f"i{n % 40:02d}", "view", n % 90) for n in range(120)]  # even users meet even items
    tail = [("u0", "i00", "view", 150), ("u0", "i00", "view", 250)]
    late = [(f"u{n % 6}", f"i{(n + 1) % 40:02d}", "view", 101 + n) for n in range(150)]  # and odd ones, later
    once, again = (build(rows, items=catalogue, cutoffs=CUTS).text_model for rows in ([*early, *tail], [*early, *late]))
    assert once.tastes.any()
    np.testing.assert_array_equal(once.tastes, again.tastes)


def test_extra_user_columns_become_features_when_they_are_named(build: Build) -> None:
    rows = [("u", "a", "click", 1), ("u", "b", "click", 101), ("u", "c", "click", 201)]
    table = pl.DataFrame({"user_id": ["u", "v"], "plan": ["gold", None]})
    dataset = build(rows, table, cutoffs=CUTS, user_columns=("plan", "absent"))
    assert dataset.spec.demographic_vocabs == {"plan": ["gold"]}
    assert dataset.users.demographics.tolist() == [[1], [0]]
