"""Who did not agree to analytics is not measured, and the report says how many these are."""

from typing import Any

import polars as pl
import pytest

from recsys.config import Config, EvaluationConfig
from recsys.data import agrees_to_analytics, events_for_analytics
from recsys.errors import RecsysError
from recsys.evaluation import evaluate, measured_users

CONFIG = Config(evaluation=EvaluationConfig(ks=(1, 2), main_metric="ndcg_at_2"))
ALLOW = Config.model_validate({**CONFIG.model_dump(), "privacy": {"consent_missing": "allow"}})


def consented(world: Any, *answers: bool | None) -> Any:
    world.users_frame = world.users_frame.with_columns(pl.Series("consent_analytics", answers, pl.Boolean))
    return world


def test_an_evaluation_leaves_them_out_and_counts_them(world: Any, oracle: Any) -> None:
    report = evaluate(CONFIG, consented(world, True, False, True, None, True), oracle(world))
    assert report.user_rows.tolist() == [0, 2, 4]
    assert report.counts["n_users"] == 3
    assert report.counts["n_users_without_analytics"] == 2
    assert sum(group["n_users"] for group in report.groups["age"].values()) == 3
    assert {len(values) for values in report.per_user.values()} == {3}
    assert set(report.sample.user_rows.tolist()) <= {0, 2, 4}


def test_who_did_not_say_is_measured_where_missing_consent_is_allowed(world: Any) -> None:
    users = measured_users(ALLOW, consented(world, True, False, True, None, True))
    assert users.user_rows.tolist() == [0, 2, 3, 4]


def test_nobody_who_may_be_measured_is_an_error(world: Any) -> None:
    with pytest.raises(RecsysError, match="none of 5 held-out users may be measured: consent_analytics"):
        measured_users(CONFIG, consented(world, False, False, False, None, None))


@pytest.mark.parametrize("recorded", [True, False])
def test_a_table_that_records_it_for_nobody_has_not_asked(recorded: bool) -> None:
    users = pl.DataFrame({"user_id": ["a", "b"]})
    if recorded:
        users = users.with_columns(pl.lit(None, pl.Boolean).alias("consent_analytics"))
    assert agrees_to_analytics(users, CONFIG.privacy).to_list() == [True, True]


def test_monitoring_looks_at_the_events_of_those_who_agreed() -> None:
    users = pl.DataFrame({"user_id": ["a", "b", "c"], "consent_analytics": [True, False, None]})
    events = pl.DataFrame({"user_id": ["c", "b", "a", "b", "a"], "item_id": ["1", "2", "3", "4", "5"]})
    assert events_for_analytics(events, users, CONFIG.privacy)["item_id"].to_list() == ["3", "5"]
    assert events_for_analytics(events, users, ALLOW.privacy)["item_id"].to_list() == ["1", "3", "5"]
    assert len(events_for_analytics(events, users.clear(), CONFIG.privacy)) == 5
