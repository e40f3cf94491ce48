"""Each bad input of a file of one's own, through the stages, ends in a clear error or a correct result."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recsys import pipeline
from recsys.config import Config
from recsys.data import read_table
from recsys.errors import ConfigError, DataError, RecsysError, SourceError, StorageError, ValidationFailedError
from recsys.features import load_dataset
from recsys.schema import EVENT, EVENT_ID, ITEM_ID, REASON, TIMESTAMP, TITLE, USER_ID, VALUE
from recsys.storage import current, exists, join
from tests.pipeline.conftest import Tables, challenge


def change(frame: pl.DataFrame, column: str, value: Any, rows: int) -> pl.DataFrame:
    """Return the frame with `value` in the first rows of a column."""
    changed = pl.when(pl.int_range(pl.len()) < rows).then(pl.lit(value)).otherwise(pl.col(column))
    return frame.with_columns(changed.alias(column))


def published(config: Config) -> dict[str, Any]:
    return pipeline.validate(config, pipeline.ingest(config)["partitions"])


def reasons(config: Config) -> list[str]:
    quarantine = current(join(config.storage, "quarantine", "all"))
    return pl.read_parquet(f"{quarantine}/interactions.parquet")[REASON].to_list()


def test_good_tables_pass_untouched(tables: Tables) -> None:
    result = published(tables.config())
    assert result["rows"] == {"interactions": 600, "users": 30, "items": 20}
    assert result["quarantined"] == 0


@pytest.mark.parametrize("table", ["interactions", "users", "items"])
def test_an_empty_file_is_named(tables: Tables, table: str) -> None:
    config = tables.config()
    (tables.folder / f"{table}.csv").write_text("")
    with pytest.raises(SourceError, match="empty"):
        pipeline.ingest(config)


@pytest.mark.parametrize("table", ["interactions", "users", "items"])
def test_a_file_of_a_header_alone_is_named(tables: Tables, table: str) -> None:
    setattr(tables, table, getattr(tables, table).clear())
    with pytest.raises(SourceError, match=rf"{table}.csv has no rows|no event with a readable timestamp"):
        pipeline.ingest(tables.config())


def test_a_missing_column_is_named_with_what_was_found(tables: Tables) -> None:
    tables.interactions = tables.interactions.drop(ITEM_ID)
    with pytest.raises(SourceError, match=r"lacks the column 'item_id' for interactions\.item_id; found event_id"):
        pipeline.ingest(tables.config())


@pytest.mark.parametrize("column", [TIMESTAMP, VALUE])
def test_a_column_of_the_wrong_type_is_named(tables: Tables, column: str) -> None:
    tables.interactions = tables.interactions.with_columns(pl.lit("not of this type").alias(column))
    with pytest.raises(SourceError, match=rf"{column}|readable timestamp"):
        pipeline.ingest(tables.config())
    assert not exists(join(tables.config().storage, "staging", "all", "CURRENT.json"))


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        (EVENT, "stare", "event_known"),
        (EVENT_ID, "e599", "not_duplicate"),
        (ITEM_ID, "never published", "item_known"),
        (VALUE, float("inf"), "value_finite"),
        (VALUE, -1.0, "value_in_range"),
    ],
)
def test_few_bad_rows_go_to_quarantine_and_many_stop_the_run(
    tables: Tables, column: str, value: Any, reason: str
) -> None:
    good = tables.interactions
    tables.interactions = change(good, column, value, 6)
    config = tables.config()
    result = published(config)
    assert result["quarantined"] == 6
    assert result["rows"]["interactions"] == 594
    assert all(f"interactions.{reason}" in each for each in reasons(config))
    before = current(join(config.storage, "snapshots", "all"))

    tables.interactions = change(good, column, value, 300)
    with pytest.raises(ValidationFailedError, match=rf"table interactions: expectation {reason}.*allowed 5\.0%"):
        published(tables.config())
    assert current(join(config.storage, "snapshots", "all")) == before


def test_not_a_number_is_no_value(tables: Tables) -> None:
    tables.interactions = change(tables.interactions.with_columns(pl.lit(1.0).alias(VALUE)), VALUE, float("nan"), 6)
    config = tables.config()
    result = published(config)
    values = read_table(pipeline.select(config)["dataset"], "interactions").collect()[VALUE]
    assert result["rows"]["interactions"] == 600
    assert values.null_count() == 6
    assert not values.is_nan().any()


def test_events_of_unknown_users_are_withheld_and_counted(tables: Tables) -> None:
    tables.interactions = change(tables.interactions, USER_ID, "a stranger", 6)
    staged = pipeline.ingest(tables.config())["partitions"]
    assert staged[0]["counts"]["withheld_unknown_user"] == 6
    assert staged[0]["counts"]["kept"] == 594


def test_events_after_the_end_are_left_out(tables: Tables) -> None:
    tables.interactions = change(tables.interactions, TIMESTAMP, "2099-01-01T00:00:00Z", 6)
    config = tables.config()
    staged = pipeline.ingest(config, end="2026-01-06")["partitions"]
    assert pipeline.validate(config, staged)["rows"]["interactions"] == 594


def test_a_timestamp_in_the_future_does_not_make_thousands_of_empty_days(tables: Tables) -> None:
    tables.interactions = change(tables.interactions, TIMESTAMP, "2099-01-01T00:00:00Z", 1)
    config = tables.config().model_copy(update={"partition": "day"})
    staged = pipeline.ingest(config)["partitions"]
    assert len(staged) < 10
    assert pipeline.validate(config, staged)["quarantined"] == 1
    accepting = config.validation.model_copy(update={"max_gap_days": 0})
    with pytest.raises(ConfigError, match=r"26\d{3} days.*timestamps in the future"):
        pipeline.ingest(config.model_copy(update={"validation": accepting}))


def test_odd_ids_come_through_whole(tables: Tables) -> None:
    odd = {"i0": 'ид,\n"one"', "i1": "🎬 two;three", "i2": " spaced\tid ", "i3": "../../etc/passwd"}
    users = {"u0": "Zoë,\nSmith", "u1": "名前"}
    tables.interactions = tables.interactions.with_columns(pl.col(ITEM_ID).replace(odd), pl.col(USER_ID).replace(users))
    tables.items = tables.items.with_columns(pl.col(ITEM_ID).replace(odd))
    tables.users = tables.users.with_columns(pl.col(USER_ID).replace(users))
    config = tables.config()
    assert published(config)["rows"] == {"interactions": 600, "users": 30, "items": 20}
    chosen = pipeline.select(config)["dataset"]
    ids = load_dataset(pipeline.build_features(config, chosen)["features"]).items.ids.tolist()
    assert set(odd.values()) <= set(ids)
    kept = read_table(chosen, "users").collect()[USER_ID].to_list()
    assert not set(users.values()) & set(kept)


def test_no_positive_event_is_said_before_training(tables: Tables) -> None:
    tables.interactions = tables.interactions.with_columns(pl.lit("impression").alias(EVENT))
    config = tables.config()
    published(config)
    with pytest.raises(DataError, match="none of 600 events is positive; .*check features.event_weights"):
        pipeline.build_features(config, pipeline.select(config)["dataset"])


def test_all_users_without_consent_is_said_with_counts(tables: Tables) -> None:
    tables.users = tables.users.with_columns(consent_personalization=False)
    with pytest.raises(ValidationFailedError, match=r"30 of 30 users withheld.*withheld_no_consent 600"):
        published(tables.config())


def test_words_that_are_no_kind_of_event_are_told_with_their_map(tables: Tables) -> None:
    tables.interactions = change(tables.interactions, EVENT, "AddToCart", 60)
    with pytest.raises(ValidationFailedError, match=r"'AddToCart' 60.*AddToCart = \"add_to_cart\""):
        published(tables.config())
    settings = tables.config().model_dump()
    settings["source"]["interactions"]["events"] = {"addtocart": "add_to_cart"}
    assert published(Config.model_validate(settings))["quarantined"] == 0


def test_a_corrupt_parquet_file_is_named(tables: Tables, tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    tables.interactions.write_parquet(path)
    path.write_bytes(path.read_bytes()[:-200] + b"x" * 200)
    config = tables.config().model_dump()
    config["source"]["interactions"]["uri"] = str(path)
    with pytest.raises(SourceError, match=r"cannot read .*events\.parquet as parquet"):
        pipeline.ingest(Config.model_validate(config))


def test_a_corrupt_snapshot_never_becomes_features(tables: Tables) -> None:
    config = tables.config()
    published(config)
    snapshot = current(join(config.storage, "snapshots", "all"))
    Path(f"{snapshot}/interactions.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(StorageError, match=r"interactions\.parquet is missing or changed"):
        pipeline.select(config)


@pytest.mark.slow
@pytest.mark.parametrize("few", [USER_ID, ITEM_ID])
@pytest.mark.usefixtures("one_database")
def test_one_user_or_one_item_ends_in_a_clear_error_and_no_champion(tables: Tables, few: str) -> None:
    name = {USER_ID: "u0", ITEM_ID: "i0"}[few]
    tables.interactions = tables.interactions.with_columns(pl.lit(name).alias(few))
    tables.users = tables.users if few == ITEM_ID else tables.users.head(1)
    tables.items = tables.items if few == USER_ID else tables.items.head(1).with_columns(pl.lit("One").alias(TITLE))
    # days of one item look like copies; what comes after validation is asked here
    config = tables.config(validation={"max_copied_share": 1.0})
    published(config)
    chosen = pipeline.select(config)["dataset"]
    with pytest.raises(RecsysError) as error:
        pipeline.promote(config, challenge(config, pipeline.build_features(config, chosen)["features"], chosen))
    assert str(error.value)
    assert not exists(join(config.storage, "serving", "champion.json"))
