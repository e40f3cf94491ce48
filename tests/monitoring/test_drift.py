import json
from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest

from recsys import schema
from recsys.config import Config
from recsys.monitoring import count_positive, drift_report, join_context, monitor
from recsys.monitoring.comparisons import comparisons
from recsys.monitoring.drift import ndcg_fall
from recsys.monitoring.observations import observe
from tests.monitoring.conftest import START

CONFIG = Config()
TASTE = {"category_mix", "category_mix_by_segment", "embedding_shift", "embedding_shift_by_segment"}


def _by_name(signals: list[Any]) -> dict[str, Any]:
    return {signal.name: signal for signal in signals}


def test_thirty_stationary_daily_runs_fire_nothing(stream: Any, item_ids: Any, item_vectors: Any) -> None:
    world = stream(seed=1)
    reference = world.days(0, 21)
    fired = []
    for day in range(21, 51):
        signals = drift_report(CONFIG, reference, world.days(day - 2, 3), item_ids, item_vectors)
        fired += [signal.name for signal in signals if signal.fired]
    assert fired == []


def test_a_taste_shift_fires_every_taste_signal(stream: Any, item_ids: Any, item_vectors: Any) -> None:
    world = stream(seed=2)
    signals = _by_name(drift_report(CONFIG, world.days(0, 21), world.days(21, 3, shift=1), item_ids, item_vectors))
    assert {name for name, signal in signals.items() if signal.fired} >= TASTE
    assert not signals["hour_of_day"].fired
    assert not signals["demographics"].fired
    assert not signals["seconds_watched"].fired


def test_tastes_that_trade_places_between_groups_show_by_segment_alone(
    stream: Any, item_ids: Any, item_vectors: Any
) -> None:
    world = stream(seed=3)
    swap = pl.col(schema.AGE).replace({"18-24": "25-34", "25-34": "18-24"})
    signals = _by_name(
        drift_report(CONFIG, world.days(0, 21), world.days(21, 3).with_columns(swap), item_ids, item_vectors)
    )
    assert signals["category_mix_by_segment"].fired
    assert signals["embedding_shift_by_segment"].fired
    assert not signals["category_mix"].fired
    assert not signals["embedding_shift"].fired


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("event_kinds", pl.lit("save").alias(schema.EVENT)),
        ("seconds_watched", pl.col(schema.VALUE) * 5),
        ("demographics", pl.lit("65+").alias(schema.AGE)),
        ("item_popularity", pl.lit("i19").alias(schema.ITEM_ID)),
    ],
)
def test_each_kind_of_data_drift_fires_its_own_signal(
    stream: Any, item_ids: Any, item_vectors: Any, name: str, change: pl.Expr
) -> None:
    world = stream(seed=4)
    fresh = world.days(14, 3).with_columns(change)
    signals = _by_name(drift_report(CONFIG, world.days(0, 14), fresh, item_ids, item_vectors))
    assert signals[name].fired
    assert signals[name].value > signals[name].limit
    assert not signals["hour_of_day"].fired


def test_activity_at_other_hours_fires_hour_of_day(stream: Any, item_ids: Any, item_vectors: Any) -> None:
    world = stream(seed=5)
    signals = _by_name(drift_report(CONFIG, world.days(0, 14), world.days(14, 3, hours=(0, 6)), item_ids, item_vectors))
    assert [name for name, signal in signals.items() if signal.fired] == ["hour_of_day"]


def test_new_items_alone_do_not_move_popularity(stream: Any, item_ids: Any, item_vectors: Any) -> None:
    world = stream(seed=6)
    fresh = world.days(14, 3)
    new = fresh.head(300).with_columns(("new-" + pl.col(schema.ITEM_ID)).alias(schema.ITEM_ID))
    signals = _by_name(drift_report(CONFIG, world.days(0, 14), pl.concat([fresh, new]), item_ids, item_vectors))
    assert not signals["item_popularity"].fired


def test_noise_comes_from_stretches_as_long_as_the_fresh_window_in_days_the_champion_learned_from(
    stream: Any, item_ids: Any, item_vectors: Any
) -> None:
    world = stream(seed=7)
    events = observe(CONFIG, world.days(0, 20), world.days(20, 3), item_ids, item_vectors)
    actual, noise = comparisons(events, CONFIG.monitoring)
    assert len(noise) == 8
    for pair in (actual, *noise):
        assert events.timestamp[pair.before].max() < events.timestamp[pair.after].min()
        assert np.ptp(events.timestamp[pair.before]) <= 10 * 86_400
        assert np.ptp(events.timestamp[pair.after]) <= 3 * 86_400
    assert (events.fresh & actual.after).any() and not (events.fresh & actual.before).any()
    assert not any((events.fresh & (pair.before | pair.after)).any() for pair in noise)


def test_a_long_reference_is_looked_at_for_its_last_days_alone(stream: Any, item_ids: Any, item_vectors: Any) -> None:
    world = stream(seed=7, events_per_day=60)
    settings = CONFIG.monitoring.model_copy(update={"reference_days": 14})
    events = observe(CONFIG, world.days(0, 60), world.days(60, 3), item_ids, item_vectors)
    actual, noise = comparisons(events, settings)
    day = (events.timestamp - int(START.timestamp())) // 86_400
    assert set(day[actual.before]) == set(range(46, 60))
    assert [set(day[pair.before]) for pair in noise] == [set(range(32, 46))] * 12
    assert [set(day[pair.after]) for pair in noise] == [set(range(first, first + 3)) for first in range(46, 58)]


@pytest.mark.parametrize(("n_reference", "events_per_day"), [(20, 100), (20, 900), (4, 300), (3, 300)])
def test_what_is_compared_is_as_large_as_what_shows_its_noise(
    stream: Any, item_ids: Any, item_vectors: Any, n_reference: int, events_per_day: int
) -> None:
    reference = stream(seed=8).days(0, n_reference)
    fresh = stream(seed=8, events_per_day=events_per_day).days(n_reference, 3)
    events = observe(CONFIG, reference, fresh, item_ids, item_vectors)
    actual, noise = comparisons(events, CONFIG.monitoring)
    assert noise
    assert {(pair.before.sum(), pair.after.sum()) for pair in noise} == {(actual.before.sum(), actual.after.sum())}


def test_an_outage_among_the_champions_days_shows_no_noise(stream: Any, item_ids: Any, item_vectors: Any) -> None:
    world = stream(seed=7)
    reference = pl.concat([world.days(0, 25), stream(seed=7, events_per_day=10).days(25, 3), world.days(28, 2)])
    events = observe(CONFIG, reference, world.days(30, 3), item_ids, item_vectors)
    actual, noise = comparisons(events, CONFIG.monitoring)
    assert len(noise) == 10  # of 13: three stretches hold two days or more of the outage
    assert actual.after.sum() > 600


def test_weekends_that_differ_are_noise(stream: Any, item_ids: Any, item_vectors: Any) -> None:
    """Fresh days are a weekend: the champion's own weekends differ from its weeks as much."""
    world = stream(seed=12)

    def days(first: int, n_days: int) -> pl.DataFrame:
        return pl.concat([world.days(at, 1, shift=2 if at % 7 >= 5 else 0) for at in range(first, first + n_days)])

    config = CONFIG.model_copy(update={"monitoring": CONFIG.monitoring.model_copy(update={"n_null_windows": 28})})
    signals = _by_name(drift_report(config, days(0, 54), days(54, 2), item_ids, item_vectors))
    assert not signals["category_mix"].fired
    assert signals["category_mix"].noise_limit > config.monitoring.max_js
    short = _by_name(drift_report(config, days(49, 5), days(54, 2), item_ids, item_vectors))
    assert short["category_mix"].fired  # days that hold no weekend cannot show it


def test_beyond_its_limit_yet_within_what_was_seen_before_fires_nothing(
    stream: Any, item_ids: Any, item_vectors: Any
) -> None:
    """The mean of the noise alone would let it fire: one stretch of the champion's days was as far off."""
    world = stream(seed=13)
    reference = pl.concat([world.days(0, 27), world.days(27, 3, shift=1)])
    settings = CONFIG.monitoring.model_copy(update={"reference_days": 15})
    config = CONFIG.model_copy(update={"monitoring": settings})
    signal = _by_name(drift_report(config, reference, world.days(30, 3, shift=1), item_ids, item_vectors))[
        "embedding_shift"
    ]
    assert signal.value > signal.limit
    assert signal.noise_limit >= signal.statistic
    assert not signal.fired


def test_a_short_reference_takes_its_noise_from_groups_of_users(stream: Any, item_ids: Any, item_vectors: Any) -> None:
    world = stream(seed=8)
    events = observe(CONFIG, world.days(0, 4), world.days(4, 3), item_ids, item_vectors)
    _, noise = comparisons(events, CONFIG.monitoring)
    assert len(noise) == CONFIG.monitoring.n_null_windows
    for pair in noise:
        assert not set(events.user[pair.before]) & set(events.user[pair.after])


def test_times_without_a_zone_are_utc_and_others_are_brought_there(
    stream: Any, item_ids: Any, item_vectors: Any
) -> None:
    world = stream(seed=5)
    time = pl.col(schema.TIMESTAMP)
    reference, fresh = world.days(0, 3), world.days(3, 3, hours=(0, 6))
    expected = observe(CONFIG, reference, fresh, item_ids, item_vectors)
    for other in (time.dt.replace_time_zone(None), time.dt.convert_time_zone("Asia/Tokyo")):
        found = observe(CONFIG, reference, fresh.with_columns(other), item_ids, item_vectors)
        assert np.array_equal(found.hour, expected.hour)
        assert np.array_equal(found.timestamp, expected.timestamp)


def test_ndcg_fall_by_hand_and_beyond_doubt() -> None:
    before, after = np.full(200, 0.2), np.full(200, 0.1)
    signal = ndcg_fall(CONFIG.monitoring, before, after)
    assert signal.fired
    assert signal.value == pytest.approx(0.5)
    assert not ndcg_fall(CONFIG.monitoring, before, before).fired
    assert ndcg_fall(CONFIG.monitoring, before, before * 2).value == pytest.approx(-1.0)


def test_a_fall_measured_on_a_handful_of_users_does_not_fire() -> None:
    before = np.array([0.2])
    after = np.array([0.0, 0.0, 0.0, 0.0, 0.5])
    signal = ndcg_fall(CONFIG.monitoring, before, after)
    assert signal.value == pytest.approx(0.5)
    assert not signal.fired


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ([0.2], [np.nan], "no user of the fresh window"),
        ([0.2], None, "no user of the fresh window"),
        ([np.nan], [0.2], "no user of the champion's last days"),
        (None, [0.2], "no user of the champion's last days"),
        ([0.0], [0.1], "met nobody's taste"),
    ],
)
def test_without_measurable_users_the_fall_is_unknown(before: Any, after: Any, why: str) -> None:
    values = [None if each is None else np.array(each) for each in (before, after)]
    signal = ndcg_fall(CONFIG.monitoring, *values)
    assert not signal.fired
    assert why in signal.unknown
    assert signal.to_json()["value"] is None


def test_positive_events_follow_the_configured_weights() -> None:
    events = pl.DataFrame(
        {
            schema.EVENT: ["impression", "view", "dislike", "rating", "rating", "rating"],
            schema.VALUE: [None, 3.0, None, 5.0, 2.0, float("nan")],
        }
    )

    def counted(**settings: Any) -> int:
        return count_positive(
            CONFIG.model_copy(update={"features": CONFIG.features.model_copy(update=settings)}), events
        )

    assert counted(min_rating=1.0) == 3  # a rating without a number is none
    assert counted(min_rating=4.0) == 2
    assert counted(event_weights={"dislike": 1.0, "like": 1.0}) == 0


def test_join_context_keeps_one_row_per_event_and_the_last_row_per_user() -> None:
    events = pl.DataFrame({schema.USER_ID: ["a", "b"], schema.ITEM_ID: ["x", "y"], "country": ["N", "N"]})
    users = pl.DataFrame({schema.USER_ID: ["a", "a"], schema.AGE: ["18-24", "25-34"]})
    items = pl.DataFrame({schema.ITEM_ID: ["x"], schema.CATEGORIES: [["news", "sport"]]})
    joined = join_context(events, users, items)
    assert joined[schema.AGE].to_list() == ["25-34", None]
    assert joined[schema.CATEGORIES].to_list() == [["news", "sport"], None]


def test_unknown_items_missing_values_and_no_demographics_are_allowed(
    item_ids: Any, item_vectors: Any, stream: Any
) -> None:
    world = stream(seed=9)
    bare = [
        frame.drop(schema.AGE, schema.VALUE).with_columns(
            pl.lit("stranger").alias(schema.ITEM_ID), pl.lit(None, pl.List(pl.String)).alias(schema.CATEGORIES)
        )
        for frame in (world.days(0, 6), world.days(6, 3))
    ]
    signals = _by_name(drift_report(CONFIG, *bare, item_ids, item_vectors))
    assert not any(signal.fired for signal in signals.values())
    unknown = {name for name, signal in signals.items() if signal.unknown}
    assert unknown == TASTE | {"seconds_watched", "demographics", "ndcg_fall"}
    assert all(
        np.isfinite([signal.value, signal.noise]).all() for name, signal in signals.items() if name not in unknown
    )


def test_monitor_reports_and_decides_in_plain_json(stream: Any, item_ids: Any, item_vectors: Any) -> None:
    world = stream(seed=10)
    report = monitor(
        CONFIG,
        world.days(0, 21),
        world.days(21, 3, shift=2),
        item_ids,
        item_vectors,
        last_trained=date(2026, 1, 22),
        as_of=date(2026, 1, 25),
        ndcg_reference=np.full(50, 0.2),
        ndcg_fresh=np.full(50, 0.05),
    )
    assert report.decision.retrain
    read = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert read["n_fresh_positive"] == 900
    assert {signal["name"] for signal in read["signals"]} >= TASTE | {"ndcg_fall"}


def test_what_is_unknown_is_told_where_it_decides_nothing(stream: Any, item_ids: Any, item_vectors: Any) -> None:
    world = stream(seed=10)
    report = monitor(
        CONFIG, world.days(0, 21), world.days(21, 3), item_ids, item_vectors, last_trained=date(2026, 1, 22),
        as_of=date(2026, 1, 25), ndcg_reference=np.full(50, 0.2), ndcg_fresh=np.full(9, np.nan),
    )  # fmt: skip
    assert not report.decision.retrain
    assert "ndcg_fall is unknown: no user of the fresh window can be measured" in report.decision.reasons


def test_monitor_measures_nothing_on_too_few_events(stream: Any, item_ids: Any, item_vectors: Any) -> None:
    world = stream(events_per_day=50)
    report = monitor(
        CONFIG, world.days(0, 5), world.days(5, 1), item_ids, item_vectors, last_trained=date(2026, 1, 1),
        as_of=date(2026, 1, 7),
    )  # fmt: skip
    assert report.decision.too_little_data
    assert report.signals == []


def test_vectors_without_their_ids_are_refused(stream: Any, item_ids: Any, item_vectors: Any) -> None:
    world = stream()
    with pytest.raises(ValueError, match=r"must have 3 rows \(item_ids\); got 100"):
        drift_report(CONFIG, world.days(0, 2), world.days(2, 1), item_ids[:3], item_vectors)
