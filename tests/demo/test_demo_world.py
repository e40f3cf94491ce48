"""The demo world: the same from the same seed, a day at a time or all at once, and true to its oracle."""

from datetime import UTC, date, datetime, timedelta
from functools import cache

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys.config import DemoSource
from recsys.data.demo import DemoWorld

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
SMALL = DemoSource(days=6, scale=0.15, n_items=200)


@cache
def _world() -> DemoWorld:
    return DemoWorld(SMALL)


@cache
def _events() -> pl.DataFrame:
    world = _world()
    return pl.concat(world.interactions(*world.interval()))


def _day(world: DemoWorld, number: int) -> pl.DataFrame:
    start = FIRST + timedelta(days=number)
    return pl.concat(world.interactions(start, start + timedelta(days=1)))


def _preference(world: DemoWorld, events: pl.DataFrame, day: datetime) -> float:
    """Return how much more the users of events like their items than the average item."""
    users, items = world.population.frame["user_id"].to_list(), world.catalogue.frame["item_id"].to_list()
    likes = world.true_preference(users, items, day)
    likes = likes - likes.mean(axis=1, keepdims=True)
    rows = events["user_id"].str.slice(1).cast(pl.Int64).to_numpy()
    columns = events["item_id"].str.slice(1).cast(pl.Int64).to_numpy()
    return float(likes[rows, columns].mean())


def test_the_same_settings_give_the_same_world() -> None:
    again = DemoWorld(SMALL)
    assert_frame_equal(pl.concat(again.interactions(*again.interval())), _events())
    for table in ("users", "items"):
        assert_frame_equal(*(pl.concat(getattr(world, table)(*world.interval())) for world in (again, _world())))


def test_another_seed_gives_another_world() -> None:
    other = DemoWorld(SMALL.model_copy(update={"seed": 8}))
    assert not _day(other, 0).select("user_id", "item_id").equals(_day(_world(), 0).select("user_id", "item_id"))


def test_each_day_alone_in_any_order_equals_the_bulk() -> None:
    days = {number: _day(DemoWorld(SMALL), number) for number in (4, 0, 5, 2, 1, 3)}
    assert_frame_equal(pl.concat(days[number] for number in range(6)), _events())


def test_part_of_a_day_is_part_of_that_day() -> None:
    noon = FIRST + timedelta(days=1, hours=12)
    later = pl.concat(_world().interactions(noon, noon + timedelta(days=1)))
    assert_frame_equal(later, _events().filter(pl.col("timestamp").is_between(noon, noon + timedelta(days=1), "left")))


def test_the_default_size_is_about_300_000_events_in_60_days() -> None:
    world = DemoWorld(DemoSource())
    assert (len(world.population.frame), len(world.catalogue.frame)) == (2000, 1000)
    a_day = np.mean([len(_day(world, number)) for number in (10, 30, 50)])
    assert 250_000 < a_day * 60 < 350_000


def test_scale_multiplies_users_and_events() -> None:
    double = DemoWorld(SMALL.model_copy(update={"scale": 0.3}))
    assert len(double.population.frame) == 2 * len(_world().population.frame)
    events = sum(len(batch) for batch in double.interactions(*double.interval()))
    assert 1.7 < events / len(_events()) < 2.3


def test_events_come_a_day_at_a_time() -> None:
    batches = list(_world().interactions(*_world().interval()))
    assert len(batches) == SMALL.days
    assert all(batch["timestamp"].dt.date().n_unique() == 1 for batch in batches)


def test_viewed_items_are_truly_preferred_over_shown_and_shown_over_average() -> None:
    shown, viewed = (_events().filter(pl.col("event") == kind) for kind in ("impression", "view"))
    assert _preference(_world(), viewed, FIRST) > _preference(_world(), shown, FIRST) + 0.02 > 0.1


def test_a_shift_changes_tastes_from_its_day_and_not_before() -> None:
    shifted = DemoWorld(SMALL.model_copy(update={"shift_from": date(2026, 1, 4)}))
    for number in range(3):
        assert_frame_equal(_day(shifted, number), _day(_world(), number))
    ids = ([f"u{row:07d}" for row in range(50)], [f"i{row:06d}" for row in range(100)])
    before, after = (shifted.true_preference(*ids, FIRST + timedelta(days=day)) for day in (2, 3))
    calm_before, calm = (_world().true_preference(*ids, FIRST + timedelta(days=day)) for day in (2, 3))
    np.testing.assert_array_equal(before, calm_before)
    assert np.corrcoef(before.ravel(), calm.ravel())[0, 1] > 0.95
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] < 0.5
    views = _day(shifted, 4).filter(pl.col("event") == "view")
    assert _preference(shifted, views, FIRST + timedelta(days=4)) > _preference(shifted, views, FIRST) + 0.2


def test_tastes_drift_slowly() -> None:
    ids = ([f"u{row:07d}" for row in range(50)], [f"i{row:06d}" for row in range(100)])
    now, soon, late = (_world().true_preference(*ids, FIRST + timedelta(days=day)).ravel() for day in (0, 5, 60))
    near, far = np.corrcoef(now, soon)[0, 1], np.corrcoef(now, late)[0, 1]
    assert 1 > near > far > 0.3


def test_higher_places_are_watched_more_than_liking_explains() -> None:
    watched = pl.col("event").eq("view").sum() / pl.col("event").eq("impression").sum()
    rates = dict(_events().group_by("position").agg(watched).rows())
    assert rates[0] > 1.5 * rates[9]
    assert rates[0] > rates[4] > rates[9]


def test_few_items_get_many_of_the_impressions() -> None:
    counts = _events().filter(pl.col("event") == "impression")["item_id"].value_counts()["count"].sort(descending=True)
    assert counts[:20].sum() > 0.25 * counts.sum()


def test_every_view_has_its_impression_and_only_views_have_seconds() -> None:
    slot = ["session_id", "position", "user_id", "item_id"]
    shown, rest = (_events().filter((pl.col("event") == "impression") == first) for first in (True, False))
    assert not len(rest.join(shown, on=slot, how="anti"))
    assert shown.select(slot).is_unique().all()
    views = _events().filter(pl.col("event") == "view")
    assert views["value"].min() > 0  # type: ignore[operator]  # Polars' min may be of any type
    assert _events().filter(pl.col("event") != "view")["value"].null_count() == len(_events()) - len(views)
    assert _events()["propensity"].is_between(0, 1, closed="right").all()


def test_most_users_consent_and_some_do_not() -> None:
    users = _world().population.frame
    assert users.select(pl.col("^consent.*$", "do_not_sell").null_count()).row(0) == (0, 0, 0)
    assert 0.85 < users["consent_personalization"].cast(pl.Float64).to_numpy().mean() < 1
    assert 0 < users["do_not_sell"].cast(pl.Float64).to_numpy().mean() < 0.2


def test_users_and_items_arrive_every_day_before_they_are_met() -> None:
    world = _world()
    for table, column in (("users", "signed_up_at"), ("items", "published_at")):
        arrivals = [pl.concat(getattr(world, table)(FIRST + timedelta(days=day), FIRST + timedelta(days=day + 1)))
                    for day in range(6)]  # fmt: skip
        assert all(len(frame) for frame in arrivals)
        key = "user_id" if table == "users" else "item_id"
        met = _events().join(pl.concat(arrivals), on=key, how="left")
        assert (met["timestamp"] > met[column]).all()


def test_items_are_not_shown_after_they_expire() -> None:
    met = _events().join(_world().catalogue.frame, on="item_id").filter(pl.col("expires_at").is_not_null())
    assert len(met)
    assert (met["timestamp"] < met["expires_at"]).all()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("scale", "n_items"), [(0.0005, 50), (0.05, 1), (0.05, 3)])
def test_a_world_of_one_user_or_one_item_still_turns(seed: int, scale: float, n_items: int) -> None:
    world = DemoWorld(DemoSource(days=3, scale=scale, n_items=n_items, seed=seed))
    for events in world.interactions(*world.interval()):
        assert set(events["item_id"]) <= set(world.catalogue.frame["item_id"])
    if scale < 0.001:
        assert len(world.population.frame) == 1
