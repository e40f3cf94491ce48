"""What was evaluated is what is served: a bundle with a blend returns the hybrid's lists."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from recsys.config import BlendConfig
from recsys.features import Heldout
from recsys.registry import load_bundle, write_bundle
from recsys.scoring import Blend, FittedBlend, HybridRecommender, recommendable_items
from recsys.serving import NewcomerRecommender, check_parity
from recsys.storage import publish

K = 10


def blend_of(taste_weight: float = 0.0, **settings: Any) -> Blend:
    weights = {"two_tower": 1.0, "item_item": 0.7, "covisitation": 0.4, "popularity": 0.2, "recent_popularity": 0.1}
    scales = {"two_tower": 3.0, "item_item": 0.1, "covisitation": 0.2, "popularity": 1.0, "recent_popularity": 1.0}
    return Blend(
        weights=weights,
        scales=scales,
        validation={},
        n_users=30,
        ease_l2=5.0,
        recent_days=7,
        settings=BlendConfig(**settings),
        taste_weight=taste_weight,
    )


def publish_bundle(place: Any, name: str, **settings: Any) -> str:
    fitted = FittedBlend.fit(blend_of(**settings), place.dataset, 3)
    with publish(f"{place.config.storage}/{name}") as bundle:
        write_bundle(bundle.path, place.towers, place.dataset, {"run_key": name}, fitted)
    return bundle.uri


@pytest.fixture(scope="module")
def served(place: Any) -> str:
    return publish_bundle(place, "hybrid")


def everybody(dataset: Any, second: int) -> Heldout:
    """Every user of a dataset, asked after all that is known."""
    events, n_users, n_items = dataset.events, len(dataset.users.ids), len(dataset.items.ids)
    rows = np.repeat(np.arange(n_users), np.diff(events.offsets))[events.positive]
    seen = csr_matrix((np.ones(rows.size, bool), (rows, events.item[events.positive])), shape=(n_users, n_items))
    return Heldout(
        user_rows=np.arange(n_users, dtype=np.int32),
        relevant=csr_matrix((n_users, n_items), dtype=bool),
        seen=seen,
        query_time=np.full(n_users, second),
        device=np.zeros(n_users, np.int32),
        history_end=events.offsets[1:],
        cold_user=np.zeros(n_users, bool),
    )


@pytest.mark.parametrize("settings", [{}, {"max_entries": 400}, {"ease_max_items": 0}])
def test_the_evaluated_list_is_the_served_list(place: Any, settings: dict[str, Any]) -> None:
    uri = publish_bundle(place, f"same-{len(settings)}-{sum(settings.values())}", **settings)
    dataset, recommender = place.dataset, place.open(uri)
    second = recommender.last_second() + 1
    bundle = load_bundle(uri)
    fitted = FittedBlend.fit(blend_of(**settings), dataset, 3)
    there = recommendable_items(dataset, 2) & (np.asarray(dataset.items.published_at) <= second)
    users = everybody(dataset, second)
    rows, scores = HybridRecommender(dataset, bundle.towers, there, fitted).ranked(users, len(dataset.items.ids))
    for user in range(len(dataset.users.ids)):
        events = slice(dataset.events.offsets[user], dataset.events.offsets[user + 1])
        # evaluation hides what was consumed; serving also what was disliked
        open_ = (rows[user] >= 0) & ~np.isin(rows[user], dataset.events.item[events])
        listed = recommender.recommend(str(dataset.users.ids[user]), K)
        assert [each.item_id for each in listed] == dataset.items.ids[rows[user][open_][:K]].tolist()
        assert [each.score for each in listed] == pytest.approx(scores[user][open_][:K].tolist(), abs=1e-4)


@pytest.mark.slow
def test_a_fresh_process_repeats_the_hybrids_lists(place: Any, served: str, features: str) -> None:
    assert check_parity(served, place.index, features, place.open(served)) == 1.0


def test_the_hybrid_is_not_the_towers(place: Any, served: str) -> None:
    hybrid, towers = (place.open(uri) for uri in (served, place.bundle))
    lists = [[[e.item_id for e in each.recommend(user, K)] for user in place.users] for each in (hybrid, towers)]
    assert sum(a != b for a, b in zip(*lists, strict=True)) > len(place.users) / 4
    assert load_bundle(place.bundle).blend is None and load_bundle(served).info["format"] == 4


def test_a_large_catalogue_is_served_from_what_each_part_retrieves(place: Any, served: str) -> None:
    uri = publish_bundle(place, "large", full_max_items=10, n_retrieved=15)
    whole, part = (place.open(each) for each in (served, uri))
    found = [
        len({e.item_id for e in whole.recommend(user, 5)} & {e.item_id for e in part.recommend(user, 5)})
        for user in place.users
    ]
    assert np.mean(found) > 4.9
    assert len(part.recommend(None, len(place.dataset.items.ids))) <= len(place.dataset.items.ids)


def test_a_newcomers_history_counts_for_every_part(place: Any, served: str) -> None:
    recommender = place.open(served)
    user = place.people.example()
    row = place.users.index(user)
    events = place.dataset.events
    own = slice(events.offsets[row], events.offsets[row + 1])
    bundle = recommender.bundle
    second = recommender.last_second()
    items = [str(place.dataset.items.ids[item]) for item in events.item[own][events.positive[own]]]
    start = np.datetime64(second, "s").astype(object) - timedelta(hours=1)
    told = [(item, "view", start + timedelta(seconds=place)) for place, item in enumerate(items)]
    before, after = recommender.recommend(None, K), recommender.recommend(None, K, history=told)
    assert bundle.blend is not None
    assert [e.item_id for e in before] != [e.item_id for e in after]
    assert not {e.item_id for e in after} & set(items)


def test_taste_is_added_to_the_blend(place: Any, served: str) -> None:
    recommender = place.open(served)
    taste = np.zeros(len(place.dataset.items.ids))
    plain = recommender.recommend(None, K, taste=taste)
    assert [e.item_id for e in plain] == [e.item_id for e in recommender.recommend(None, K)]
    taste[20] = 100.0
    assert recommender.recommend(None, K, taste=taste)[0].item_id == str(place.dataset.items.ids[20])


def test_a_newcomer_is_served_what_is_judged_wherever_the_request_comes_from(place: Any) -> None:
    uri = publish_bundle(place, "taste", taste_weight=0.5)
    recommender, bundle = place.open(uri), load_bundle(uri)
    assert bundle.blend is not None and bundle.blend.taste is not None
    dataset, second = place.dataset, recommender.last_second() + 1
    users = everybody(dataset, second)
    nobody = csr_matrix(users.seen.shape, dtype=bool)
    new = replace(users, seen=nobody, history_end=dataset.events.offsets[:-1])
    there = recommendable_items(dataset, 2) & (np.asarray(dataset.items.published_at) <= second)
    judged, scores = HybridRecommender(dataset, bundle.towers, there, bundle.blend).ranked(new, K)
    newcomers = NewcomerRecommender(recommender)
    for user, column in enumerate(dataset.users.demographics[:3, 0].tolist()):
        about = {"age": dataset.spec.demographic_vocabs["age"][column - 1]} if column else {}
        about |= {
            name: vocabulary[code - 1]
            for (name, vocabulary), code in zip(
                dataset.spec.demographic_vocabs.items(), dataset.users.demographics[user].tolist(), strict=True
            )
            if code
        }
        for listed in (recommender.recommend(None, K, about), newcomers.recommend((), K, about)):
            assert [each.item_id for each in listed] == dataset.items.ids[judged[user]].tolist()
            assert [each.score for each in listed] == pytest.approx(scores[user].tolist(), abs=1e-4)


def test_a_newcomer_of_known_demographics_is_shown_what_people_alike_turn_to(place: Any) -> None:
    uri = publish_bundle(place, "taste-alone", taste_weight=1e6)
    recommender = place.open(uri)
    first = {age: recommender.recommend(None, 5, {"age": age}) for age in ("18-24", "25-34")}
    assert {int(each.item_id[1:]) % 3 for each in first["18-24"]} == {0}
    assert {int(each.item_id[1:]) % 3 for each in first["25-34"]} == {1}
    history = [(first["18-24"][0].item_id, "view", datetime(2026, 1, 1, tzinfo=UTC))]
    told = [each.item_id for each in recommender.recommend(None, 5, {"age": "18-24"}, history=history)]
    assert history[0][0] not in told


def test_a_large_catalogue_is_ranked_whole_where_too_little_was_retrieved(place: Any) -> None:
    uri = publish_bundle(place, "scarce", full_max_items=10, n_retrieved=1)
    recommender = place.open(uri)
    n_items = len(place.dataset.items.ids)
    user = place.people.example()
    whole = recommender.recommend(user, n_items)
    assert len(whole) == len(place.open(publish_bundle(place, "all")).recommend(user, n_items))
