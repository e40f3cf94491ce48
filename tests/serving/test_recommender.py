from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.config import IndexConfig
from recsys.errors import DataError, StorageError
from recsys.features import Dataset, StringColumn
from recsys.index import ExactIndex, export_index
from recsys.registry import load_bundle
from recsys.serving import BundleRecommender
from recsys.storage import publish

LATER = datetime(2026, 3, 1, tzinfo=UTC)


class EmptyIndex:
    """An index that finds nothing, as an approximate one may."""

    def __init__(self, n_items: int) -> None:
        self.n_items, self.dim = n_items, 8

    def query(self, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        return np.full((len(vectors), k), -1, np.int32), np.full((len(vectors), k), -np.inf, np.float32)


@pytest.fixture(scope="module")
def recommender(place: Any) -> BundleRecommender:
    return place.open()


def _seen(place: Any, user: str) -> set[str]:
    row = place.dataset.users.ids.tolist().index(user)
    events = place.dataset.events
    return {str(place.dataset.items.ids[item]) for item in events.item[events.offsets[row] : events.offsets[row + 1]]}


def test_every_list_is_what_brute_force_ranks(place: Any, recommender: BundleRecommender) -> None:
    bundle = load_bundle(place.bundle)
    vectors = bundle.towers.item_vectors
    ids = place.dataset.items.ids
    for user in place.dataset.users.ids.tolist():
        found = recommender.recommend(user, 10)
        row = np.flatnonzero(np.asarray(place.dataset.users.ids) == user)
        events = place.dataset.events
        last = np.array([int(np.max(events.timestamp)) + 1])
        query = bundle.towers.query_vectors(
            place.dataset, vectors, row, events.offsets[row + 1], last, np.zeros(1, np.int32)
        )
        scores = vectors @ query[0]
        allowed = [i for i in np.argsort(-scores, kind="stable") if ids[i] not in _seen(place, user) | {"i037", "i038"}]
        assert [each.item_id for each in found] == [str(ids[i]) for i in allowed[:10]]
        np.testing.assert_allclose([each.score for each in found], scores[allowed[:10]], rtol=1e-4, atol=1e-4)
        assert [each.rank for each in found] == list(range(1, 11))


def test_unpublished_and_expired_items_are_left_out_at_their_time(recommender: BundleRecommender) -> None:
    now = {each.item_id for each in recommender.recommend(None, 40)}
    assert not {"i037", "i038"} & now
    assert "i037" in {each.item_id for each in recommender.recommend(None, 40, at=datetime(2026, 1, 1, 1, tzinfo=UTC))}
    assert "i038" in {each.item_id for each in recommender.recommend(None, 40, at=datetime(2028, 1, 1, tzinfo=UTC))}


@pytest.mark.parametrize(("second", "there"), [(-1, True), (0, False), (1, False)])
def test_an_item_is_gone_from_the_second_it_expires(recommender: BundleRecommender, second: int, there: bool) -> None:
    expires = datetime(2026, 1, 2, tzinfo=UTC)
    listed = {each.item_id for each in recommender.recommend(None, 40, at=expires + timedelta(seconds=second))}
    assert ("i037" in listed) is there


def test_k_beyond_the_catalogue_gives_what_there_is(recommender: BundleRecommender) -> None:
    assert len(recommender.recommend(None, 1000)) == 38
    with pytest.raises(ValueError, match="k must be at least 1"):
        recommender.recommend(None, 0)


def test_an_index_that_finds_too_little_is_backed_by_exact_search(place: Any) -> None:
    bundle = load_bundle(place.bundle)
    exact = BundleRecommender(bundle, ExactIndex(bundle.towers.item_vectors))
    poor = BundleRecommender(bundle, EmptyIndex(len(bundle.dataset.items.ids)))
    for user in ("u001", None):
        assert poor.recommend(user, 5) == exact.recommend(user, 5)


def test_warm_users_are_told_which_item_of_theirs_is_near(place: Any, recommender: BundleRecommender) -> None:
    for each in recommender.recommend("u001", 5):
        words, title = each.reason.split(" Title ")
        assert words in ("because you watched", "because you liked")
        assert f"i{int(title):03d}" in _seen(place, "u001")


def test_newcomers_are_told_whom_an_item_is_popular_with(recommender: BundleRecommender) -> None:
    reasons = {each.reason for each in recommender.recommend(None, 40, demographics={"age": "25-34"})}
    assert "popular with people like you: age 25-34" in reasons
    assert not any("18-24" in reason for reason in reasons)


def test_demographics_change_a_newcomers_list(recommender: BundleRecommender) -> None:
    young = [each.item_id for each in recommender.recommend(None, 10, demographics={"age": "18-24"})]
    older = [each.item_id for each in recommender.recommend(None, 10, demographics={"age": "35-44"})]
    assert young != older


def test_unknown_labels_and_columns_count_as_unknown(recommender: BundleRecommender) -> None:
    assert recommender.recommend(None, 5, demographics={"age": "x", "shoe": "44"}) == recommender.recommend(None, 5)


def test_a_newcomers_first_events_enter_history_and_are_not_recommended_again(recommender: BundleRecommender) -> None:
    before = recommender.recommend(None, 5, at=LATER)
    history = [(before[0].item_id, "like", LATER - timedelta(hours=1)), ("nowhere", "view", LATER)]
    after = recommender.recommend(None, 5, history=history, at=LATER)
    assert before[0].item_id not in {each.item_id for each in after}
    assert after[0].reason == f"because you liked {before[0].title}"
    bought = recommender.recommend(None, 5, history=[(before[0].item_id, "purchase", LATER)], at=LATER)
    assert bought[0].reason == f"because you bought {before[0].title}"
    with pytest.raises(DataError, match="history events"):
        recommender.recommend(None, 5, history=[("i001", "stare", LATER)])


def test_a_disliked_item_hides_itself_without_becoming_a_taste(recommender: BundleRecommender) -> None:
    first = recommender.recommend(None, 3, at=LATER)
    after = recommender.recommend(None, 2, history=[(first[0].item_id, "dislike", LATER)], at=LATER)
    assert [each.item_id for each in after] == [each.item_id for each in first[1:]]


def test_events_after_the_asked_time_are_not_known_yet(place: Any, recommender: BundleRecommender) -> None:
    long_ago = datetime(2025, 12, 31, tzinfo=UTC)
    assert _seen(place, "u001") & {each.item_id for each in recommender.recommend("u001", 40, at=long_ago)}


def _index(folder: Path, ids: StringColumn, vectors: NDArray[np.float32]) -> str:
    with publish(str(folder)) as index:
        export_index(IndexConfig(), ids, vectors, vectors[:2], index.path)
    return index.uri


def test_index_of_other_items_is_refused(place: Any, tmp_path: Path) -> None:
    index = _index(tmp_path, StringColumn.of(["x", "y"]), np.eye(2, 8, dtype=np.float32))
    with pytest.raises(StorageError, match="other items"):
        place.open(index=index)


def test_index_of_another_run_with_the_same_items_is_refused(place: Any, tmp_path: Path) -> None:
    ids = place.dataset.items.ids
    index = _index(tmp_path, ids, np.random.default_rng(0).normal(size=(len(ids), 8)).astype(np.float32))
    with pytest.raises(StorageError, match="built from other vectors"):
        place.open(index=index)


def test_what_is_held_to_explain_items_is_no_more_than_the_events(place: Any, recommender: BundleRecommender) -> None:
    told, events = recommender.bundle.label_counts, place.dataset.events
    for counts, totals, labels in zip(told.by_label, told.totals, events_by_label(place.dataset), strict=True):
        np.testing.assert_array_equal(counts.toarray(), labels)
        np.testing.assert_array_equal(totals, labels.sum(axis=1))
        assert counts.nnz <= int(events.positive.sum())


def events_by_label(dataset: Dataset) -> list[np.ndarray]:
    owner = np.repeat(np.arange(len(dataset.users.ids)), np.diff(dataset.events.offsets))[dataset.events.positive]
    tables = []
    for place, vocabulary in enumerate(dataset.spec.demographic_vocabs.values()):
        tables.append(np.zeros((len(vocabulary) + 1, len(dataset.items.ids)), int))
        items = dataset.events.item[dataset.events.positive]
        np.add.at(tables[-1], (dataset.users.demographics[owner, place], items), 1)
    return tables
