"""The taste of people alike, before any event: fitted on the splits before, carried by ids, spread over a catalogue."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from recsys.config import OnboardingConfig
from recsys.errors import DataError, StorageError
from recsys.scoring import NewcomerTaste, TastePrior, over_catalogue

CONFIG = OnboardingConfig(n_pool=3, max_targets=4, ridge=0.01)


def world(split_of_last: int = 0) -> Any:
    """Six users of two ages: the young like item 0, the old item 1; everybody's second event is item 2, of a split."""
    items = np.array([0, 2, 0, 2, 0, 2, 1, 2, 1, 2, 1, 2])
    return SimpleNamespace(
        spec=SimpleNamespace(demographic_vocabs={"age": ["young", "old"]}),
        items=SimpleNamespace(ids=np.array([f"i{row}" for row in range(4)])),
        users=SimpleNamespace(ids=np.arange(6), demographics=np.array([[1]] * 3 + [[2]] * 3, np.int32)),
        events=SimpleNamespace(
            item=items,
            positive=np.ones(12, bool),
            kind=np.ones(12, np.int8),
            weight=np.ones(12, np.float32),
            split=np.array([0, split_of_last] * 6, np.int8),
            offsets=np.arange(0, 13, 2),
        ),
    )


def test_people_alike_are_told_apart_and_an_unknown_label_says_nothing() -> None:
    taste = NewcomerTaste(TastePrior.fit(world(), CONFIG), 1.0)
    young, old, unknown = taste.evidence(np.array([[1], [2], [0]]), 4)
    assert young[0] > young[1] and old[1] > old[0]
    assert unknown[0] == pytest.approx(unknown[1])
    assert unknown.argmax() == 2  # what everybody likes


def test_a_prior_for_a_split_knows_nothing_of_that_split() -> None:
    assert 2 in TastePrior.fit(world(split_of_last=2), CONFIG).targets[:1].tolist()
    before = TastePrior.fit(world(split_of_last=2), CONFIG, split=2)
    assert before.taste.liked[before.targets.tolist().index(2)] == 0.0


def test_the_weight_multiplies_standardised_evidence() -> None:
    prior = TastePrior.fit(world(), CONFIG)
    one, two = (NewcomerTaste(prior, weight).evidence(np.array([[1]]), 4) for weight in (1.0, 2.0))
    assert one.std() == pytest.approx(1.0)
    np.testing.assert_allclose(two, 2 * one)


def test_items_beyond_the_targets_get_the_least() -> None:
    prior = TastePrior.fit(world(), CONFIG.model_copy(update={"max_targets": 2}))
    spread = over_catalogue(prior, np.array([0.5, 0.25]), 4)
    assert sorted(spread.tolist()) == [0.25, 0.25, 0.25, 0.5]


def test_a_prior_is_read_back_and_follows_its_items(tmp_path: Any) -> None:
    prior = TastePrior.fit(world(), CONFIG)
    prior.save(tmp_path / "taste.npz")
    read = TastePrior.load(tmp_path / "taste.npz")
    np.testing.assert_array_equal(read.liked(np.array([1]), {}), prior.liked(np.array([1]), {}))
    moved = read.mapped(np.array([2, -1, 0]))  # another catalogue of three items: ours of rows 2 and 0, and a new one
    before, after = (NewcomerTaste(each, 1.0).prior for each in (prior, moved))
    chances = dict(zip(before.targets.tolist(), before.liked(np.array([1]), {}).tolist(), strict=True))
    found = dict(zip(after.targets.tolist(), after.liked(np.array([1]), {}).tolist(), strict=True))
    assert found == {0: chances[2], 2: chances[0]}
    (tmp_path / "taste.npz").write_bytes(b"damaged")
    with pytest.raises(StorageError, match="taste prior"):
        TastePrior.load(tmp_path / "taste.npz")


def test_without_a_like_there_is_no_prior() -> None:
    nobody = world()
    nobody.events.positive[:] = False
    with pytest.raises(DataError, match="onboarding learns from likes"):
        TastePrior.fit(nobody, CONFIG)


def test_what_was_only_met_is_no_dislike() -> None:
    """Events before `fit_days`, or beyond a user's cap, are neither positive nor of any weight."""
    data = world()
    data.events.positive[:2] = False
    poor = TastePrior.fit(data, CONFIG)
    data.events.weight[:2] = 0.0
    met = TastePrior.fit(data, CONFIG)
    disliked = slice(int(met.offsets[-1]) + len(met.questions), None)
    assert poor.taste.mean[disliked].sum() > met.taste.mean[disliked].sum() == 0.0
