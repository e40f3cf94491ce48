from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from sklearn.feature_extraction.text import TfidfTransformer

from recsys.features import TextModel, encode_items, encode_users, frames_to_dataset, reindex
from recsys.features.text import _counts
from recsys.schema import ITEMS, PRIVATE_USERS


@pytest.fixture
def world(events, users, items, config, cuts):
    """Item a is met in train, b in validation and c in test only; u1 has train events, u2 has none."""
    start = cuts[0] - timedelta(hours=100)
    return frames_to_dataset(
        config,
        events(
            ("u1", "a", "click", 1), ("u1", "z", "click", 24), ("u2", "b", "click", 101), ("u2", "c", "like", 201),
            device="tv",
        ),
        users({"user_id": "u1", "gender": "f"}, {"user_id": "u2", "gender": "m", "age": "18-24"}),
        items(
            {"item_id": "a", "title": "red apple", "categories": ["fruit", "new"], "creator": "kim", "language": "en",
             "published_at": start - timedelta(days=1), "duration_s": 9.0},
            {"item_id": "b", "title": "blue boat", "categories": ["sea", "fruit"], "creator": "lee", "language": "de",
             "published_at": cuts[0]},
            {"item_id": "c", "title": "green car", "categories": ["road"], "published_at": cuts[1]},
            {"item_id": "d", "title": "old dog", "categories": ["pets"], "published_at": start},
        ),
        cutoffs=cuts,
    )  # fmt: skip


def test_vocabularies_hold_only_what_train_showed(world):
    spec = world.spec
    assert spec.item_vocab == ["a", "z"]
    assert spec.user_vocab == ["u1"]
    assert spec.category_vocab == ["fruit", "new"]
    assert (spec.creator_vocab, spec.language_vocab, spec.device_vocab) == (["kim"], ["en"], ["tv"])
    assert spec.demographic_vocabs == {"age": [], "gender": ["f"], "location": [], "occupation": []}


def test_unknown_values_are_zero_and_rows_stay_in_the_catalogue(world):
    assert world.items.ids.tolist() == ["a", "b", "c", "d", "z"]
    assert world.items.vocab.tolist() == [1, 0, 0, 0, 2]
    assert world.items.categories.tolist() == [[1, 2], [1, 0], [0, 0], [0, 0], [0, 0]]
    assert world.items.creator.tolist() == [1, 0, 0, 0, 0]
    assert world.items.train_count.tolist() == [1, 0, 0, 0, 1]
    assert world.users.demographics.tolist() == [[0, 1, 0, 0], [0, 0, 0, 0]]


def test_text_weights_know_nothing_of_items_met_or_published_after_train(world):
    seen = np.flatnonzero(world.text_model.topics.any(axis=1))
    expected = np.unique(_counts(["red apple by_kim fruit new", "old dog pets"]).indices)
    assert seen.tolist() == expected.tolist()
    assert not world.items.text[1:3, :].any() or set(_counts(["blue boat sea fruit"]).indices) & set(expected)
    assert not world.items.text[2].any()


def test_future_rows_change_nothing_that_was_fitted(world, events, users, items, config, cuts):
    late = events(
        ("u1", "a", "click", 1), ("u1", "z", "click", 24), ("u9", "b", "click", 105), ("u9", "q", "share", 250),
        device="tv",
    )  # fmt: skip
    catalogue = world.items_frame.filter(pl.col("item_id") != "c")
    other = frames_to_dataset(config, late, world.users_frame, catalogue, cutoffs=cuts)
    skip = {"info"}
    assert other.spec.model_dump(exclude=skip) == world.spec.model_dump(exclude=skip)
    for part in ("tastes", "topics"):
        assert np.array_equal(getattr(other.text_model, part), getattr(world.text_model, part))


def test_numeric_features_are_normalised_on_train_with_flags_for_missing(world):
    # a is the only train item with a date: 2 days old at the last train event; log(1 + 9) for its duration
    assert world.spec.numeric_means == pytest.approx([np.log(3), np.log(10)])
    assert world.spec.numeric_stds == [1.0, 1.0]
    numeric = world.items.numeric
    assert numeric[0].tolist() == pytest.approx([0, 0, 0, 0], abs=1e-6)
    assert numeric[2].tolist() == pytest.approx([-np.log(3), 0, 0, 1])  # published later: age 0; no duration
    assert numeric[4].tolist() == [0, 0, 1, 1]


def test_infinite_durations_count_as_missing(world, items):
    arrays = encode_items(world.spec, world.text_model, items({"item_id": "x", "duration_s": float("inf")}))
    assert arrays.numeric.tolist() == [[0, 0, 1, 1]]


def test_as_of_moves_ages_only(events, config, cuts, items):
    rows = events(("u", "a", "click", 1), ("u", "b", "click", 101), ("u", "c", "click", 201))
    table = items({"item_id": "a", "published_at": cuts[0] - timedelta(hours=100)})
    dataset = frames_to_dataset(
        config, rows, pl.DataFrame(schema=PRIVATE_USERS), table, cutoffs=cuts, as_of=cuts[0] - timedelta(hours=28)
    )
    assert dataset.spec.numeric_means[0] == pytest.approx(np.log(4))


def test_rare_items_and_users_have_no_id_of_their_own(events, config, cuts):
    config = config.model_copy(update={"min_item_events": 2, "min_user_events": 2})
    rows = events(
        ("u", "a", "click", 1), ("v", "a", "click", 2), ("u", "b", "click", 3),
        ("v", "a", "click", 101), ("v", "b", "click", 201),
    )  # fmt: skip
    dataset = frames_to_dataset(
        config, rows, pl.DataFrame(schema=PRIVATE_USERS), pl.DataFrame(schema=ITEMS), cutoffs=cuts
    )
    assert dataset.items.vocab.tolist() == [1, 0]
    assert dataset.users.vocab.tolist() == [1, 0]


def test_ids_with_unicode_commas_and_newlines_survive(events, config, cuts, tmp_path):
    ids = ["ключ", "a,b", 'line\nbreak"', "🦊"]
    hours = (1, 2, 101, 201)
    rows = events(*[(name, name, "click", hour) for name, hour in zip(ids, hours, strict=True)])
    dataset = frames_to_dataset(
        config, rows, pl.DataFrame(schema=PRIVATE_USERS), pl.DataFrame(schema=ITEMS), cutoffs=cuts
    )
    dataset.save(tmp_path)
    loaded = type(dataset).load(tmp_path)
    assert loaded.items.ids.tolist() == sorted(ids) == loaded.users.ids.tolist()
    assert loaded.spec.item_vocab == sorted(ids[:2])


def test_reindex_keeps_rows_and_takes_the_other_specs_codes(world):
    spec = world.spec.model_copy(
        update={"item_vocab": ["c"], "user_vocab": ["u2"], "device_vocab": ["phone", "tv"], "creator_vocab": ["lee"]}
    )
    text_model = TextModel.fit(["green car"], 3)
    other = reindex(world, spec, text_model)
    assert other.items.ids.tolist() == world.items.ids.tolist()
    assert other.items.vocab.tolist() == [0, 0, 1, 0, 0]
    assert other.users.vocab.tolist() == [0, 1]
    assert set(other.events.device.tolist()) == {2}
    assert other.items.creator.tolist() == [0, 1, 0, 0, 0]
    assert other.items.train_count.tolist() == world.items.train_count.tolist()
    assert other.items.text[2].any()
    assert not other.items.text[0].any()


def test_reindex_to_the_same_spec_changes_nothing(world):
    same = reindex(world, world.spec, world.text_model)
    assert np.array_equal(same.items.text, world.items.text)
    assert same.events.device.tolist() == world.events.device.tolist()


def test_new_users_are_encoded_by_their_demographics(world, users):
    arrays = encode_users(world.spec, users({"user_id": "new", "gender": "f"}))
    assert arrays.vocab.tolist() == [0]
    assert arrays.demographics.tolist() == [[0, 1, 0, 0]]
    without = encode_users(world.spec, pl.DataFrame({"user_id": ["new"]}))
    assert without.demographics.tolist() == [[0, 0, 0, 0]]


def test_extra_user_columns_become_features_when_they_are_named(events, config, cuts):
    config = config.model_copy(update={"user_columns": ("plan", "absent")})
    rows = events(("u", "a", "click", 1), ("u", "b", "click", 101), ("u", "c", "click", 201))
    table = pl.DataFrame({"user_id": ["u", "v"], "plan": ["gold", None]})
    dataset = frames_to_dataset(config, rows, table, pl.DataFrame(schema=ITEMS), cutoffs=cuts)
    assert dataset.spec.demographic_vocabs == {"plan": ["gold"]}
    assert dataset.users.demographics.tolist() == [[1], [0]]


@pytest.mark.parametrize("texts", [[], [""], ["one"], ["same words", "same words"], ["a", "???"]])
def test_text_vectors_are_unit_or_zero_however_few_texts_there_are(texts):
    model = TextModel.fit(texts, 8)
    vectors = model.transform([*texts, "", "unheard of"])
    assert vectors.shape == (len(texts) + 2, 8)
    assert np.isfinite(vectors).all()
    lengths = np.linalg.norm(vectors, axis=1)
    assert np.all(np.isclose(lengths, 1, atol=1e-5) | (lengths == 0))
    assert not vectors[-2:].any()


def test_text_idf_is_scikit_learns():
    texts = ["red apple", "red boat", "green boat sails", ""]
    expected = TfidfTransformer(smooth_idf=True).fit(_counts(texts)).idf_
    assert TextModel.fit(texts, 2).idf == pytest.approx(expected, rel=1e-6)


def test_similar_texts_are_close():
    texts = ["space war stars", "stars in space", "cooking soup", "soup and bread cooking"]
    vectors = TextModel.fit(texts, 4).transform(texts)  # two topics, and two dimensions that nothing has taught
    assert vectors[0] @ vectors[1] > 0.9
    assert abs(vectors[0] @ vectors[2]) < 0.1


def test_taught_texts_predict_who_meets_an_item():
    generator = np.random.default_rng(0)
    words = {"war": (1.0, 0.0), "love": (0.0, 1.0)}
    kinds = generator.choice(list(words), 60)
    fillers = [f"{kind} filler{number % 7} filler{number % 3}" for number, kind in enumerate(kinds)]
    targets = np.array([words[kind] for kind in kinds], np.float32)
    model = TextModel.fit(fillers, 4, targets)
    war, love, unheard = model.transform(["war filler1", "love filler2", "nothing known"])[:, :2]
    assert war[0] - love[0] > 0.5
    assert love[1] - war[1] > 0.5
    assert not unheard.any()


def test_a_word_of_one_text_teaches_nothing():
    texts = [f"unique{number} shared{number % 2}" for number in range(40)]
    targets = np.random.default_rng(1).normal(size=(40, 2)).astype(np.float32)
    assert not TextModel.fit(texts, 4, targets).transform(["unique7"])[:, :2].any()
