"""The built-in world, whose catalogue turns over and whose tastes wander, with and without its taste shift."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from recsys import schema
from recsys.config import Config, DemoSource
from recsys.data.demo import DemoWorld
from recsys.features import StringColumn
from recsys.monitoring import MonitoringReport, join_context, monitor

CONFIG = Config()
TRAINED = date(2026, 1, 31)


def _runs(shift_from: date | None, ages_days: list[int]) -> list[MonitoringReport]:
    world = DemoWorld(DemoSource(days=30 + max(ages_days), scale=0.2, shift_from=shift_from))
    start, end = world.interval()
    interactions, users, items = (
        pl.concat(list(read(start, end))) for read in (world.interactions, world.users, world.items)
    )
    users = users.with_columns((pl.col(schema.AGE) // 10).cast(pl.String), pl.col(schema.LOCATION).str.slice(0, 2))
    events = join_context(interactions, users, items)
    names = items[schema.CATEGORIES].list.first().fill_null("")
    vectors = names.to_dummies().to_numpy().astype(np.float32)
    trained = start + timedelta(days=30)
    reports = []
    for age_days in ages_days:
        until = trained + timedelta(days=age_days)
        inside = pl.col(schema.TIMESTAMP).is_between(until - timedelta(days=3), until, closed="left")
        reports.append(
            monitor(
                CONFIG,
                events.filter(pl.col(schema.TIMESTAMP) < trained),
                events.filter(inside),
                StringColumn(items[schema.ITEM_ID]),
                vectors,
                last_trained=TRAINED,
                as_of=until.date(),
            )
        )
    return reports


def test_thirty_daily_runs_without_a_shift_never_retrain() -> None:
    reports = _runs(None, list(range(1, 31)))
    assert not any(report.decision.retrain for report in reports)
    assert not any(signal.fired for report in reports for signal in report.signals)
    assert not any(report.decision.too_little_data for report in reports)


@pytest.mark.parametrize("age_days", [3, 20])
def test_a_taste_shift_is_seen_three_days_after_it_began(age_days: int) -> None:
    (report,) = _runs(TRAINED + timedelta(days=age_days - 3), [age_days])
    assert report.decision.retrain, report.decision.reasons
