from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.config import OnboardingConfig
from recsys.errors import DataError
from recsys.features import Dataset
from recsys.scoring.taste import Taste, TastePrior
from recsys.serving import NewcomerRecommender, Onboarding
from tests.serving.conftest import N_ITEMS, Place

CONFIG = OnboardingConfig(n_pool=20, min_familiarity=0.0, n_hot=N_ITEMS)


@pytest.fixture(scope="module")
def onboarding(place: Place) -> Onboarding:
    return Onboarding.of(place.dataset, _vectors(place.dataset), CONFIG)


def _vectors(dataset: Dataset) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.random.default_rng(2).normal(size=(len(dataset.items.ids), 5)).astype(np.float32)


def _taste(seed: int, n_features: int, n_targets: int) -> Taste:
    generator = np.random.default_rng(seed)
    sample = generator.normal(size=(60, n_features + n_targets)) @ generator.normal(size=(n_features + n_targets,) * 2)
    centred = sample - sample.mean(axis=0)
    joint = centred.T @ centred / 60 + 0.01 * np.eye(n_features + n_targets)
    mean = sample.mean(axis=0)
    return Taste(mean[:n_features], joint[:n_features, :n_features], mean[n_features:], joint[:n_features, n_features:])


def test_a_posterior_is_the_best_linear_prediction() -> None:
    taste = _taste(1, 4, 3)
    told, values = np.array([0, 2]), np.array([1.0, -2.0])
    after = taste.given(told, values)
    slope = np.linalg.solve(taste.covariance[np.ix_(told, told)], taste.cross[told])
    np.testing.assert_allclose(after.liked, taste.liked + (values - taste.mean[told]) @ slope)
    np.testing.assert_allclose(after.mean[told], values)
    np.testing.assert_allclose(after.covariance[told], 0, atol=1e-9)


@given(st.integers(0, 1000))
def test_the_order_of_what_is_told_does_not_matter(seed: int) -> None:
    taste = _taste(seed, 5, 3)
    together = taste.given(np.array([1, 3, 4]), np.array([1.0, 0.0, 2.0]))
    apart = taste.given(np.array([4]), np.array([2.0])).given(np.array([3, 1]), np.array([0.0, 1.0]))
    np.testing.assert_allclose(apart.liked, together.liked, atol=1e-6)
    np.testing.assert_allclose(apart.covariance, together.covariance, atol=1e-6)


def test_what_is_told_never_makes_less_certain() -> None:
    taste = _taste(3, 6, 2)
    after = taste.given(np.array([2]), np.array([1.0]))
    assert (np.diag(after.covariance) <= np.diag(taste.covariance) + 1e-12).all()


def test_without_answers_and_labels_the_prior_is_how_many_like_an_item(place: Place, onboarding: Onboarding) -> None:
    events, dataset = place.dataset.events, place.dataset
    users = np.repeat(np.arange(len(dataset.users.ids)), np.diff(events.offsets))
    liked = np.zeros((len(dataset.users.ids), N_ITEMS))
    liked[users[events.positive], events.item[events.positive]] = 1
    np.testing.assert_allclose(onboarding.liked(), liked.mean(axis=0))


def test_demographics_move_the_taste_to_people_alike(place: Place, onboarding: Onboarding) -> None:
    # Users of the first age turn to items 0, 3, 6 and so on, of the second to 1, 4, 7.
    of_first, of_second = (onboarding.liked((), {"age": age}) for age in ("18-24", "25-34"))
    assert of_first[0:30:3].sum() > of_second[0:30:3].sum()
    assert of_second[1:30:3].sum() > of_first[1:30:3].sum()


def test_answers_outweigh_demographics_as_they_come(place: Place) -> None:
    # A third of the users have the tastes of another age than their own.
    codes = place.dataset.users.demographics.copy()
    codes[::3, 0] = np.random.default_rng(0).permutation(codes[::3, 0])
    codes[:9, 0] = np.roll(codes[:9, 0], 1)
    dataset = replace(place.dataset, users=replace(place.dataset.users, demographics=codes))
    onboarding = Onboarding.of(dataset, _vectors(dataset), CONFIG)
    told = [(f"i{row:03d}", "like") for row in onboarding._prior.questions.tolist() if row % 3 == 1]

    def lead(n: int) -> float:
        liked = onboarding.liked(told[:n], {"age": "18-24"})  # type: ignore[arg-type]
        return float(liked[1:30:3].sum() - liked[0:30:3].sum())

    assert lead(0) < 0 < lead(4)


def test_questions_adapt_to_the_answers(onboarding: Onboarding) -> None:
    first = onboarding.next_questions()[0].item_id
    seconds = {answer: onboarding.next_questions([(first, answer)])[0].item_id for answer in ("like", "unknown")}  # type: ignore[list-item]
    assert len(set(seconds.values())) == 2


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_nothing_is_asked_twice(seed: int) -> None:
    onboarding = _shared()
    generator = np.random.default_rng(seed)
    told: list[tuple[str, str]] = []
    for _ in range(20):
        item = onboarding.next_questions(told, {"age": "18-24"})[0].item_id  # type: ignore[arg-type]
        told.append((item, str(generator.choice(["like", "dislike", "unknown"]))))
    assert len({item for item, _ in told}) == 20
    assert onboarding.next_questions(told, {"age": "18-24"}) == []  # type: ignore[arg-type]


_CACHE: list[Onboarding] = []


def _shared() -> Onboarding:
    return _CACHE[0]


@pytest.fixture(scope="module", autouse=True)
def _keep(onboarding: Onboarding) -> None:
    _CACHE[:] = [onboarding]


def test_unfamiliar_items_are_not_asked(place: Place) -> None:
    strict = Onboarding.of(place.dataset, _vectors(place.dataset), CONFIG.model_copy(update={"min_familiarity": 0.3}))
    asked = strict.next_questions((), {"age": "25-34"}, n=20)
    assert 0 < len(asked) < 20
    assert all(question.familiarity >= 0.3 for question in asked)


def test_diversity_keeps_items_like_each_other_apart(place: Place) -> None:
    vectors = _vectors(place.dataset)
    alike = {int(row): 0 for row in TastePrior.fit(place.dataset, CONFIG).questions[::2]}
    for row in alike:
        vectors[row] = [1, 0, 0, 0, 0]

    def asked_alike(diversity: float) -> int:
        config = CONFIG.model_copy(update={"diversity": diversity})
        questions = Onboarding.of(place.dataset, vectors, config).next_questions(n=6)
        return sum(int(question.item_id[1:]) in alike for question in questions)

    assert asked_alike(100.0) == 1
    assert asked_alike(0.0) > 1


def test_a_question_is_worth_the_list_its_answers_lead_to(place: Place) -> None:
    config = CONFIG.model_copy(update={"diversity": 0.0})
    onboarding = Onboarding.of(place.dataset, _vectors(place.dataset), config)
    prior = onboarding._prior
    discounts = 1 / np.log2(np.arange(2, 12))
    n = len(prior.questions)
    worths = []
    for place_, row in enumerate(prior.questions.tolist()):
        taste, first = prior.taste, int(prior.offsets[-1])
        like, dislike = (max(float(taste.mean[first + shift + place_]), 0.005) for shift in (0, n))
        chances = np.array([like, dislike, max(1 - like - dislike, 0.005)])
        worth = 0.0
        for chance, answer in zip(chances / chances.sum(), ("like", "dislike", "unknown"), strict=True):
            liked = prior.answered(taste, {row: answer}).liked.copy()  # type: ignore[dict-item]
            liked[prior.targets == row] = -np.inf
            worth += chance * float(np.sort(liked)[::-1][:10] @ discounts)
        worths.append(worth)
    best = int(prior.questions[int(np.argmax(worths))])
    assert onboarding.next_questions()[0].item_id == f"i{best:03d}"


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([("i001", "maybe")], "answers must be one of like, dislike, unknown; got maybe"),
        ([("i999", "like")], "items of the catalogue; got i999"),
        ([("i001", "like"), ("i001", "dislike")], "2 answers about 1 items"),
    ],
)
def test_wrong_answers_are_refused_whole(onboarding: Onboarding, answers: list[tuple[str, str]], words: str) -> None:
    for call in (onboarding.next_questions, onboarding.liked):
        with pytest.raises(DataError, match=words):
            call(answers)  # type: ignore[operator]


def test_no_question_is_refused(onboarding: Onboarding) -> None:
    with pytest.raises(ValueError, match="got 0"):
        onboarding.next_questions(n=0)


def test_a_training_set_without_likes_is_refused(place: Place) -> None:
    events = replace(place.dataset.events, positive=np.zeros_like(place.dataset.events.positive))
    with pytest.raises(DataError, match="has none"):
        Onboarding.of(replace(place.dataset, events=events), _vectors(place.dataset), CONFIG)


def test_a_newcomer_is_served_at_once(place: Place) -> None:
    newcomers = NewcomerRecommender(place.open(), CONFIG)
    told = [(newcomers.next_questions()[0].item_id, "like"), ("i005", "dislike"), ("i008", "unknown")]
    before, after = newcomers.recommend([], 10), newcomers.recommend(told, 38)  # type: ignore[arg-type]
    assert [each.rank for each in before] == list(range(1, 11))
    items = [each.item_id for each in after]
    assert not {told[0][0], "i005"} & set(items)
    assert "i008" in items
    assert not {"i037", "i038"} & set(items)  # expired and not yet published
    assert items[:10] != [each.item_id for each in before]
    scores = [each.score for each in after]
    assert scores == sorted(scores, reverse=True)


def test_every_answer_may_change_the_list(place: Place) -> None:
    newcomers = NewcomerRecommender(place.open(), CONFIG)
    item = newcomers.next_questions()[0].item_id
    lists = {
        answer: tuple(each.item_id for each in newcomers.recommend([(item, answer)], 12))  # type: ignore[list-item]
        for answer in ("like", "dislike", "unknown")
    }
    assert all(lists[a] != lists[b] for a, b in product(lists, lists) if a != b)


def test_people_alike_count_before_any_event_and_less_with_each(onboarding: Onboarding) -> None:
    age = {"age": "18-24"}
    weights = [float(onboarding.evidence((), age, [f"i{row:03d}" for row in range(n)]).std()) for n in (0, 1, 5)]
    assert weights == pytest.approx([CONFIG.prior_weight, CONFIG.prior_weight / 5, CONFIG.prior_weight / 21])
    again = onboarding.evidence((), age, ["i000", "i000", "unheard-of"]).std()
    assert again == pytest.approx(CONFIG.prior_weight / 5)  # of one item the towers know something
    assert onboarding.evidence([("i001", "unknown")], age).std() == pytest.approx(CONFIG.taste_weight)


def test_own_events_are_likes_unless_an_answer_says_otherwise(onboarding: Onboarding) -> None:
    liked, disliked = (onboarding.liked([("i001", answer)]) for answer in ("like", "dislike"))  # type: ignore[list-item]
    np.testing.assert_array_equal(onboarding.liked(events=["i001", "unheard-of"]), liked)
    np.testing.assert_array_equal(onboarding.liked([("i001", "dislike")], events=["i001"]), disliked)


def test_a_remembered_taste_holds_the_hot_targets_alone(place: Place) -> None:
    few = Onboarding.of(place.dataset, _vectors(place.dataset), CONFIG.model_copy(update={"n_hot": 5}))
    assert len(few._prior.targets) > 5
    taste, _ = few._segment((1, 1), ((int(few._prior.questions[0]), "like"),))
    whole = few._prior.answered(few._prior.of_labels(np.array([1, 1])), {int(few._prior.questions[0]): "like"})
    assert taste.cross.shape == (len(taste.mean), 5)
    np.testing.assert_allclose(taste.cross, whole.cross[:, :5], atol=1e-12)
    np.testing.assert_allclose(taste.liked, whole.liked[:5], atol=1e-12)
