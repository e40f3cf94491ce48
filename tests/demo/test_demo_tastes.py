"""The demo world: the same each time, plausible, and worth personalising for."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from recsys import schema
from recsys.config import DemoSource
from recsys.data.demo import DemoWorld

DAY = timedelta(days=1)
SETTINGS = DemoSource(days=40, scale=0.25)


@pytest.fixture(scope="module")
def world() -> DemoWorld:
    return DemoWorld(SETTINGS)


@pytest.fixture(scope="module")
def events(world: DemoWorld) -> pl.DataFrame:
    return pl.concat(list(world.interactions(*world.interval())))


def test_users_are_as_described(world: DemoWorld) -> None:
    users = world.population.frame
    first = pl.concat(list(world.users(world.start, world.start + DAY)))
    assert 0.65 < len(first) / len(users) < 0.8
    assert 0.88 < users[schema.CONSENT_PERSONALIZATION].mean() < 0.97
    assert 0 < users[schema.DO_NOT_SELL].sum() < len(users)
    assert users[schema.LOCATION].str.count_matches("/").eq(2).all()
    assert users.null_count().sum_horizontal().sum() == 0


def test_items_arrive_and_expire_and_their_words_tell_their_topics(world: DemoWorld) -> None:
    items = world.catalogue.frame
    arriving = [sum(len(batch) for batch in world.items(world.start + n * DAY, world.start + (n + 1) * DAY))
                for n in range(1, SETTINGS.days)]  # fmt: skip
    assert min(arriving) > 0
    assert 0 < items[schema.EXPIRES_AT].count() < len(items) / 2
    assert items[schema.CATEGORIES].list.len().is_between(1, 3).all()
    cooking = items.filter(pl.col(schema.CATEGORIES).list.contains("cooking"))[schema.DESCRIPTION]
    assert cooking.str.contains("recipe|kitchen|sauce|oven|spice|dinner").mean() > 0.9


def test_nobody_acts_before_signing_up_and_nothing_is_shown_unpublished_or_expired(
    world: DemoWorld, events: pl.DataFrame
) -> None:
    joined = events.join(world.population.frame, on=schema.USER_ID).join(world.catalogue.frame, on=schema.ITEM_ID)
    assert len(joined) == len(events)
    at = pl.col(schema.TIMESTAMP)
    wrong = (at < pl.col(schema.SIGNED_UP_AT)) | (at < pl.col(schema.PUBLISHED_AT)) | (at >= pl.col(schema.EXPIRES_AT))
    assert joined.filter(wrong).is_empty()


def test_every_reaction_follows_its_impression(events: pl.DataFrame) -> None:
    key = [schema.REQUEST_ID, schema.ITEM_ID, schema.POSITION]
    shown = events.filter(pl.col(schema.EVENT) == "impression")
    reactions = events.filter(pl.col(schema.EVENT) != "impression")
    paired = reactions.join(shown, on=key)
    assert len(paired) == len(reactions)
    assert (paired[schema.TIMESTAMP] > paired[f"{schema.TIMESTAMP}_right"]).all()
    assert shown[schema.POSITION].is_between(0, 9).all()
    assert shown.group_by(schema.REQUEST_ID).len()["len"].eq(10).all()
    assert events[schema.PROPENSITY].is_between(0, 1).all()
    assert set(reactions[schema.EVENT]) == {"view", "click", "like"}


def test_seconds_are_watched_in_views_only_and_never_more_than_there_are(
    world: DemoWorld, events: pl.DataFrame
) -> None:
    timed = events.join(world.catalogue.frame, on=schema.ITEM_ID)
    is_view = pl.col(schema.EVENT) == "view"
    assert timed.filter(is_view != pl.col(schema.VALUE).is_not_null()).is_empty()
    views = timed.filter(is_view)
    assert (views[schema.VALUE] <= views[schema.DURATION_S] + 0.1).all()


def _ndcg_at_10(scores: NDArray[np.floating], seen: NDArray[np.bool_], later: NDArray[np.bool_]) -> float:
    """Mean over users with something left to find; seen items are masked."""
    users = later.any(axis=1)
    top = np.argsort(np.where(seen, -np.inf, scores), axis=1)[users, ::-1][:, :10]
    gain = 1 / np.log2(np.arange(2, 12))
    ideal = np.cumsum(gain)[np.minimum(later[users].sum(axis=1), 10) - 1]
    return float((np.take_along_axis(later[users], top, axis=1) @ gain / ideal).mean())


def _watched(world: DemoWorld, events: pl.DataFrame) -> NDArray[np.bool_]:
    seen = np.zeros((len(world.population.frame), len(world.catalogue.frame)), bool)
    views = events.filter(pl.col(schema.EVENT) == "view").select(schema.USER_ID, schema.ITEM_ID)
    rows, columns = (views[name].str.slice(1).cast(pl.Int64).to_numpy() for name in views.columns)
    seen[rows, columns] = True
    return seen


def test_the_oracle_is_several_times_better_than_popularity_and_beats_item_knn(
    world: DemoWorld, events: pl.DataFrame
) -> None:
    cut = world.start + 35 * DAY
    seen = _watched(world, events.filter(pl.col(schema.TIMESTAMP) < cut))
    later = _watched(world, events.filter(pl.col(schema.TIMESTAMP) >= cut)) & ~seen
    there = world.catalogue.frame.select((pl.col(schema.PUBLISHED_AT) < cut)
                                         & (pl.col(schema.EXPIRES_AT).fill_null(cut + DAY) > cut))  # fmt: skip
    seen |= ~there.to_series().to_numpy()
    later &= ~seen
    counts = (seen & there.to_series().to_numpy()).astype(float)
    norm = np.sqrt(counts.sum(axis=0)) + 1e-9
    alike = counts.T @ counts / np.outer(norm, norm)
    np.fill_diagonal(alike, 0)
    users, items = world.population.frame[schema.USER_ID].to_list(), world.catalogue.frame[schema.ITEM_ID].to_list()
    oracle = _ndcg_at_10(world.true_preference(users, items, cut), seen, later)
    popularity = _ndcg_at_10(np.broadcast_to(counts.sum(axis=0), counts.shape), seen, later)
    assert oracle > 3 * popularity
    assert oracle > 1.15 * _ndcg_at_10(counts @ alike, seen, later)


def test_what_was_watched_last_says_more_about_the_next_view_than_what_was_long_ago(
    world: DemoWorld, events: pl.DataFrame
) -> None:
    main = pl.Series(world.catalogue.topics.argmax(axis=1))
    views = events.filter(pl.col(schema.EVENT) == "view").select(
        schema.USER_ID,
        pl.col(schema.TIMESTAMP).dt.epoch("d").alias("day"),
        main.gather(events.filter(pl.col(schema.EVENT) == "view")[schema.ITEM_ID].str.slice(1).cast(pl.Int64)).alias(
            "of"
        ),
    )
    pairs = views.join(views, on=schema.USER_ID).with_columns(lag=pl.col("day") - pl.col("day_right"))
    same = pairs.with_columns(same=pl.col("of") == pl.col("of_right"))
    recent, old = (same.filter(pl.col("lag").is_between(*days))["same"].mean() for days in ((1, 2), (15, 30)))
    assert recent > old + 0.03


def test_a_shift_turns_tastes_from_its_day_on_and_changes_nothing_before(world: DemoWorld) -> None:
    shifted = DemoWorld(SETTINGS.model_copy(update={"shift_from": date(2026, 1, 21)}))
    users, items = (
        world.population.frame[schema.USER_ID][:50].to_list(),
        world.catalogue.frame[schema.ITEM_ID].to_list(),
    )
    before, after = world.start + 19 * DAY, world.start + 20 * DAY
    assert pl.concat(list(shifted.interactions(before, after))).equals(
        pl.concat(list(world.interactions(before, after)))
    )
    old, new = (each.true_preference(users, items, after) for each in (world, shifted))
    assert old.shape == (50, 1000)
    assert np.mean([np.corrcoef(old[n], new[n])[0, 1] for n in range(50)]) < 0.3
    assert np.array_equal(world.true_preference(users, items, before), shifted.true_preference(users, items, before))


def test_true_preference_follows_the_order_of_the_ids_asked_for(world: DemoWorld) -> None:
    straight = world.true_preference(["u0000001", "u0000002"], ["i000003", "i000004"], world.start)
    turned = world.true_preference(["u0000002", "u0000001"], ["i000004", "i000003"], world.start)
    assert np.array_equal(straight, turned[::-1, ::-1])
    assert straight.dtype == np.float32
