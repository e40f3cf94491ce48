"""Data without times, from files to a champion: a random hold-out judges it, and everything says so."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from recsys import pipeline
from recsys.config import Config
from recsys.features import load_dataset
from recsys.registry import busiest_users, held_out
from recsys.serving import open_recommender, read_champion
from recsys.storage import local_path, read_json
from tests.pipeline.conftest import Tables

N_USERS, N_ITEMS = 200, 60


@pytest.fixture
def untimed(tables: Tables) -> Config:
    """Return 200 users of three tastes, each with 15 of the 20 items of theirs and no times; half of the rows twice."""
    generator = np.random.default_rng(3)
    rows = [
        (f"u{user}", f"i{3 * int(place) + user % 3}")
        for user in range(N_USERS)
        for place in generator.choice(N_ITEMS // 3, 15, replace=False, p=np.arange(1, 21) / 210)
    ]
    likes = pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row")
    tables.interactions = pl.concat([likes, likes.head(len(likes) // 2)])
    tables.users = pl.DataFrame({"user_id": [f"u{row}" for row in range(N_USERS)], "consent_personalization": True})
    tables.items = pl.DataFrame(
        {
            "item_id": [f"i{row}" for row in range(N_ITEMS)],
            "title": [f"Title {row}" for row in range(N_ITEMS)],
            "published_at": [f"2020-01-{row % 28 + 1:02d}" for row in range(N_ITEMS)],
        }
    )
    written = tables.config().model_dump(mode="json")
    written["source"]["interactions"] |= {"timestamps": "none", "constants": {"event": "like"}}
    written["model"] |= {"epochs": 6}
    written["blend"]["max_users"] = 100
    return Config.model_validate(written)


def featured(config: Config, **select: Any) -> dict[str, Any]:
    pipeline.validate(config, pipeline.ingest(config, "2026-01-01", "2026-01-02")["partitions"])
    chosen = pipeline.select(config, **select)
    return chosen | pipeline.build_features(config, chosen["dataset"])


def test_every_row_passes_whatever_interval_a_run_has(untimed: Config) -> None:
    staged = pipeline.ingest(untimed, "2026-01-01", "2026-01-02")
    result = pipeline.validate(untimed, staged["partitions"])
    assert (result["rows"]["interactions"], result["quarantined"]) == (4500, 0)


def test_repeated_rows_are_one_event_and_features_say_that_time_is_unknown(untimed: Config) -> None:
    built = featured(untimed, as_of="2019-01-01")
    assert (built["n_events"], built["time"], built["n_capped_users"]) == (3000, "unknown", 0)
    splits = np.asarray(load_dataset(built["features"]).events.split)
    assert [(splits == split).mean().round(2) for split in (1, 2)] == [0.1, 0.1]
    assert read_json(f"{built['dataset']}/dataset.json")["time"] == "unknown"


def test_the_card_tells_of_a_random_hold_out_and_of_busy_users() -> None:
    unknown, known = held_out({"time": "unknown"}, "2020-01-28"), held_out({}, "2026-02-01")
    assert "time was unknown" in unknown and "random hold-out" in unknown and "2020-01-28" not in unknown
    assert "2026-02-01" in known and "unknown" not in known
    told = busiest_users({"n_capped_users": 2, "capped_share": 0.613, "max_user_events": 500})
    assert told.startswith("2 did 61.3% of all positive events; of each, the 500 most recent")
    assert busiest_users({"n_capped_users": 0, "capped_share": 0.0}) == busiest_users({})


@pytest.mark.slow
def test_a_champion_is_found_and_everything_says_that_time_was_unknown(untimed: Config) -> None:
    from recsys.registry.versions import connect

    built = featured(untimed)
    trained = pipeline.train(untimed, built["features"], built["dataset"])
    evaluated = pipeline.evaluate(untimed, trained)
    refitted = pipeline.refit(untimed, trained)
    registered = pipeline.register(untimed, trained, evaluated, refitted, pipeline.export_index(untimed, refitted))
    assert registered["time"] == "unknown"
    assert pipeline.promote(untimed, registered)["promoted"]
    card = Path(connect(untimed).download_artifacts(trained["run_id"], "model_card.md")).read_text(encoding="utf-8")
    assert "**time was unknown**" in card and "nobody did more than counts" in card

    champion = read_champion(untimed.storage)
    pipeline.fill_users(untimed, built["dataset"])
    recommender = open_recommender(untimed, champion.bundle, champion.index)
    for user in (recommender.people.example(), None):
        long_after = recommender.recommend(user, 5, at=datetime(2026, 11, 27, 9, tzinfo=UTC))
        now = recommender.recommend(user, 5)
        assert [(each.item_id, each.score) for each in long_after] == [(each.item_id, each.score) for each in now]

    watched = pipeline.monitor(untimed, "2026-02-01")
    assert not watched["retrain"] and "no times" in watched["reasons"][0]
    assert "no times" in local_path(watched["report"]).read_text(encoding="utf-8")
