from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from recsys.config import FeaturesConfig
from recsys.errors import DataError
from recsys.evaluation import SegmentPopularity, coldstart_curves, curve, newcomers_of, told
from recsys.features import Dataset, Heldout, Segments, frames_to_dataset
from recsys.schema import INTERACTIONS, ITEMS, PRIVATE_USERS

START = datetime(2026, 1, 1, tzinfo=UTC)
N_ITEMS = 30
CONFIG = FeaturesConfig(min_user_events=1, min_item_events=1, text_dim=2, user_columns=("age", "gender"))


def events_of(user: str, items: Iterable[int], kinds: str = "") -> list[dict[str, object]]:
    return [
        {
            "event_id": f"{user}-{place:02d}",
            "user_id": user,
            "item_id": f"i{item:02d}",
            "event": "dislike" if kinds[place : place + 1] == "d" else "view",
            "timestamp": START + timedelta(hours=place),
        }
        for place, item in enumerate(items)
    ]


def frame(rows: list[dict[str, object]], schema: dict[str, pl.DataType]) -> pl.DataFrame:
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)


USERS = frame(
    [{"user_id": f"u{place}", "age": "18-24" if place < 5 else "55-64", "gender": "f"} for place in range(10)]
    + [{"user_id": "new", "age": "55-64", "gender": "f"}, {"user_id": "few", "age": "18-24", "gender": "f"}],
    PRIVATE_USERS,
)
CATALOGUE = frame([{"item_id": f"i{item:02d}", "title": f"T{item}"} for item in range(N_ITEMS)], ITEMS)
NEW = [0, 29, *range(1, 17)]
ALL = frame(
    [row for place in range(10) for row in events_of(f"u{place}", range(place // 5 * 10, place // 5 * 10 + 20))]
    + events_of("new", NEW, "-d")
    + events_of("few", range(3)),
    INTERACTIONS,
)


@pytest.fixture(scope="module")
def trained() -> Dataset:
    return frames_to_dataset(CONFIG, ALL.filter(pl.col("user_id").str.starts_with("u")), USERS.head(10), CATALOGUE)


@pytest.fixture(scope="module")
def newcomers(trained: Dataset) -> Dataset:
    return newcomers_of(CONFIG, trained, ALL, USERS, ["few", "new"])


class Oracle:
    def __init__(self, name: str, first: NDArray[np.int32]) -> None:
        self.name = name
        self._first = first

    def recommend(self, heldout: Heldout, k: int) -> NDArray[np.int32]:
        return np.broadcast_to(self._first[:k], (len(heldout.user_rows), k))


def rows_of(matrix: object, row: int = 0) -> list[int]:
    return np.flatnonzero(matrix[row].toarray().ravel()).tolist()  # type: ignore[index]


def told_items(shown: Dataset, heldout: Heldout) -> list[int]:
    ends = int(heldout.history_end[0])
    return [int(shown.events.item[place]) for place in shown.events.positive_positions if place < ends]


def test_newcomers_share_the_trained_items_and_have_no_id(trained: Dataset, newcomers: Dataset) -> None:
    assert newcomers.items is trained.items
    assert newcomers.users.ids.tolist() == ["few", "new"]
    assert newcomers.users.vocab.tolist() == [0, 0]
    assert newcomers.users.demographics[1].tolist() == trained.users.demographics[7].tolist()


def test_a_trained_user_is_no_newcomer(trained: Dataset) -> None:
    with pytest.raises(DataError, match="1 of 2 are"):
        newcomers_of(CONFIG, trained, ALL, USERS, ["new", "u3"])


def test_the_first_window_tells_the_first_positive_events(newcomers: Dataset) -> None:
    shown, heldout = told(newcomers, "first", 3, horizon=5)
    assert heldout.user_rows.tolist() == [1]  # the other newcomer has too few events
    assert told_items(shown, heldout) == [0, 1, 2]  # 29 was disliked
    assert rows_of(heldout.relevant) == list(range(5, 17))
    assert rows_of(heldout.seen) == [0, 1, 2, 3, 4, 29]
    assert heldout.query_time[0] == int((START + timedelta(hours=4)).timestamp())


def test_the_recent_window_tells_the_last_events_before_a_cut_in_the_middle(newcomers: Dataset) -> None:
    shown, heldout = told(newcomers, "recent", 2, horizon=5)
    assert told_items(shown, heldout) == [6, 7]  # 17 positive events: the cut is after the eighth
    assert rows_of(heldout.relevant) == list(range(8, 17))
    assert rows_of(heldout.seen) == [*range(8), 29]


@pytest.mark.parametrize("window", ["first", "recent"])
def test_targets_and_hidden_items_are_the_same_at_every_point(newcomers: Dataset, window: str) -> None:
    points = [told(newcomers, window, n, horizon=5) for n in (0, 1, 5)]  # type: ignore[arg-type]
    assert [len(told_items(*point)) for point in points] == [0, 1, 5]
    for _, heldout in points[1:]:
        assert (heldout.relevant != points[0][1].relevant).nnz == 0
        assert (heldout.seen != points[0][1].seen).nnz == 0


def test_nobody_with_enough_events_is_refused(newcomers: Dataset) -> None:
    with pytest.raises(DataError, match="more than 17 positive events"):
        told(newcomers, "first", 1, horizon=17)
    with pytest.raises(ValueError, match=r"in 0\.\.5; got 6"):
        told(newcomers, "first", 6, horizon=5)


def test_segment_popularity_follows_the_people_alike(trained: Dataset, newcomers: Dataset) -> None:
    _, heldout = told(newcomers, "recent", 0, horizon=5)
    ranking = SegmentPopularity(trained, newcomers, np.ones(N_ITEMS, bool)).recommend(heldout, 4)
    assert set(ranking[0].tolist()) <= set(range(10, 20))  # what both groups met and the older met as often
    segments = Segments.fit(trained)
    shares = segments.shares(np.arange(len(segments.n_users)))
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)


def test_shares_of_a_segment_are_its_counts_smoothed_towards_everybody(trained: Dataset) -> None:
    segments = Segments.fit(trained)
    code = segments.codes(np.asarray(trained.users.demographics))
    owner = np.repeat(code, np.diff(trained.events.offsets))
    counts = np.zeros((len(segments.n_users), N_ITEMS))
    np.add.at(counts, (owner, trained.events.item), np.asarray(trained.events.positive, float))
    overall = counts.sum(axis=0) / counts.sum()
    expected = (counts + 200 * overall) / (counts.sum(axis=1, keepdims=True) + 200)
    np.testing.assert_allclose(segments.shares(code), expected[code])


def test_segments_hold_what_was_counted_however_many_segments_there_are(trained: Dataset) -> None:
    vocabularies = {name: [f"{place}" for place in range(1000)] for name in trained.spec.demographic_vocabs}
    wide = replace(trained, spec=trained.spec.model_copy(update={"demographic_vocabs": vocabularies}))
    counts = Segments.fit(wide).counts
    assert counts.shape == (1001**2, N_ITEMS)
    assert counts.data.nbytes <= 8 * len(trained.events.item)


def test_segments_with_no_users_follow_everybody(trained: Dataset) -> None:
    segments = Segments.fit(trained)
    overall = np.bincount(trained.events.item, minlength=N_ITEMS) / len(trained.events.item)
    np.testing.assert_allclose(segments.shares(segments.codes(np.zeros((1, 2), np.int32)))[0], overall)


def test_without_demographics_there_is_one_segment(trained: Dataset) -> None:
    segments = Segments.fit(trained, ("postcode",))
    assert segments.shares(np.zeros(1, int)).shape == (1, N_ITEMS)
    assert segments.codes(np.asarray(trained.users.demographics)).tolist() == [0] * 10


def test_the_curve_compares_with_popularity(newcomers: Dataset) -> None:
    good = np.array([8, 9, 10, 20, 21, 22], np.int32)
    half = np.array([8, 20, 21, 22, 23, 24], np.int32)
    points = curve(
        newcomers, lambda _: [Oracle("model", good), Oracle("popularity", half)], "recent", k=3, counts=(0, 5)
    )
    by = {(point.model, point.metric, point.n_events): point for point in points}
    assert by["model", "ndcg_at_3", 5].value == 1.0
    assert by["popularity", "ndcg_at_3", 0].ratio == 1.0
    assert by["model", "recall_at_3", 0].ratio == pytest.approx(3.0)
    assert by["model", "recall_at_3", 0].n_users == 1
    figure = coldstart_curves(points, "ndcg_at_3")
    assert next(line.get_ydata().tolist() for line in figure.axes[0].lines) == [1.0, 1.0]  # type: ignore[union-attr]


def test_a_curve_without_popularity_is_refused(newcomers: Dataset) -> None:
    with pytest.raises(ValueError, match="named 'popularity'"):
        curve(newcomers, lambda _: [Oracle("model", np.arange(3, dtype=np.int32))], "first", k=3, counts=(0, 5))


def test_events_after_the_cut_never_enter_a_history(newcomers: Dataset) -> None:
    changed = replace(
        newcomers.events, item=np.where(np.arange(len(newcomers.events.item)) > 14, 3, newcomers.events.item)
    )
    for window in ("first", "recent"):
        before = told_items(*told(newcomers, window, 5, horizon=5))  # type: ignore[arg-type]
        assert told_items(*told(replace(newcomers, events=changed), window, 5, horizon=5)) == before  # type: ignore[arg-type]
