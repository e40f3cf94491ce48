import json
from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest

from recsys import schema
from recsys.config import Config
from recsys.monitoring import count_positive, drift_report, join_context, monitor
from recsys.monitoring.drift import ndcg_fall, null_pairs
from recsys.monitoring.observations import observe

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


def test_noise_comes_from_windows_as_long_as_the_fresh_one(stream: Any, item_ids: Any, item_vectors: Any) -> None:
    world = stream(seed=7)
    events = observe(CONFIG, world.days(0, 20), world.days(20, 3), item_ids, item_vectors)
    pairs = null_pairs(events, CONFIG.monitoring)
    assert len(pairs) == 3
    for earlier, later in pairs:
        assert events.timestamp[earlier].max() < events.timestamp[later].min()
        assert np.ptp(events.timestamp[later]) <= 3 * 86_400
        assert not (events.fresh & (earlier | later)).any()


def test_a_short_reference_takes_its_noise_from_groups_of_users(stream: Any, item_ids: Any, item_vectors: Any) -> None:
    world = stream(seed=8)
    events = observe(CONFIG, world.days(0, 4), world.days(4, 3), item_ids, item_vectors)
    pairs = null_pairs(events, CONFIG.monitoring)
    assert len(pairs) == CONFIG.monitoring.n_null_windows
    for earlier, later in pairs:
        assert not set(events.user[earlier]) & set(events.user[later])


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


def test_no_fresh_user_or_no_quality_before_is_no_fall() -> None:
    assert not ndcg_fall(CONFIG.monitoring, np.array([0.2]), np.array([np.nan])).fired
    assert not ndcg_fall(CONFIG.monitoring, np.array([0.0]), np.array([0.1])).fired


def test_positive_events_follow_the_configured_weights() -> None:
    events = pl.DataFrame(
        {schema.EVENT: ["impression", "view", "dislike", "rating"], schema.VALUE: [None, 3.0, None, 2.0]}
    )
    assert count_positive(CONFIG, events) == 2
    strict = CONFIG.model_copy(update={"features": CONFIG.features.model_copy(update={"min_rating": 4.0})})
    assert count_positive(strict, events) == 1


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
    signals = drift_report(CONFIG, *bare, item_ids, item_vectors)
    assert not any(signal.fired for signal in signals)
    assert all(np.isfinite([signal.value, signal.noise]).all() for signal in signals)


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
