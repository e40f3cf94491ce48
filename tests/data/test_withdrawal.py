"""Withdrawal acts backwards: what a training reads leaves out who may not be read now, whatever day brought them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from recsys.config import Config
from recsys.data import ingest_range, read_table, select_snapshots, validate_partitions
from recsys.data.privacy import DEVELOPMENT_KEY, DEVELOPMENT_KEY_ID, PseudonymKey, pseudonymise
from recsys.errors import ConfigError, DataError
from tests.data.conftest import LiteralSource, event, item, moment, user

Build = Callable[..., Config]
NEW_KEY = "another key of sixteen bytes"


def hidden(name: str) -> str:
    return str(pseudonymise(pl.Series([name]), PseudonymKey(DEVELOPMENT_KEY, DEVELOPMENT_KEY_ID))[0])


def two_days(*users: dict[str, Any]) -> LiteralSource:
    """Each of a, b, c has four events on each of two days."""
    events = [event(day * 50 + n, name, "i0", day) for day in range(2) for name in "abc" for n in range(4)]
    return LiteralSource(events, list(users), [item("i0")])


def load(config: Config, source: LiteralSource, day: int) -> None:
    validate_partitions(config, ingest_range(config, source, moment(day, 0), moment(day + 1, 0)))


def read(config: Config, day: int | None = None) -> dict[str, set[str]]:
    uri = select_snapshots(config, None if day is None else moment(day, 0)).uri
    return {
        table: set(read_table(uri, table).select("user_id").collect()["user_id"])  # type: ignore[arg-type]
        for table in ("interactions", "users")
    }


AGREED = (user("a"), user("b"), user("c"))
REFUSED = (user("a"), user("b", consent=False), user("c"))


def test_who_withdraws_on_the_second_day_loses_the_first_days_rows_too(configured: Build) -> None:
    config = configured()
    load(config, two_days(*AGREED), 0)
    before = select_snapshots(config, moment(1, 0))
    load(config, two_days(*REFUSED), 1)
    expected = {hidden("a"), hidden("c")}
    assert read(config) == read(config, day=1) == {"interactions": expected, "users": expected}
    assert select_snapshots(config, moment(1, 0)).digest != before.digest


def test_who_agrees_again_comes_back_with_all_days(configured: Build) -> None:
    config = configured()
    load(config, two_days(*AGREED), 0)
    load(config, two_days(*REFUSED), 1)
    load(config, two_days(*AGREED), 1)
    assert hidden("b") in read(config, day=1)["interactions"]


def test_an_older_backfill_does_not_bring_back_who_has_withdrawn_since(configured: Build) -> None:
    config = configured()
    load(config, two_days(*REFUSED), 1)
    load(config, two_days(*AGREED), 0)
    assert hidden("b") not in read(config)["interactions"]


def test_an_end_far_ahead_does_not_outlast_the_next_register(configured: Build) -> None:
    config = configured()
    validate_partitions(config, ingest_range(config, two_days(*AGREED), moment(0, 0), moment(9, 0)))
    ingest_range(config, two_days(*REFUSED), moment(2, 0), moment(3, 0))
    assert hidden("b") not in read(config)["interactions"]


def test_who_has_left_the_users_table_is_withheld_as_unknown(configured: Build) -> None:
    config = configured()
    load(config, two_days(*AGREED), 0)
    load(config, two_days(user("a"), user("c")), 1)
    assert hidden("b") not in read(config)["interactions"]


def test_one_refusal_among_a_users_rows_withholds_all_days(configured: Build) -> None:
    config = configured()
    load(config, two_days(*AGREED), 0)
    load(config, two_days(*AGREED, user("b", consent=False)), 1)
    assert hidden("b") not in read(config)["interactions"]


@pytest.mark.parametrize(("purpose", "is_read"), [("personalization", True), ("advertising", False)])
def test_do_not_sell_acts_backwards_for_advertising_alone(configured: Build, purpose: str, is_read: bool) -> None:
    config = configured(privacy={"purpose": purpose})
    load(config, two_days(*AGREED), 0)
    load(config, two_days(user("a"), user("b", do_not_sell=True), user("c")), 1)
    assert (hidden("b") in read(config)["interactions"]) == is_read


def test_without_a_users_table_nobody_is_withheld_where_missing_consent_is_allowed(configured: Build) -> None:
    config = configured(privacy={"consent_missing": "allow"})
    load(config, two_days(), 0)
    load(config, two_days(), 1)
    assert read(config)["interactions"] == {hidden(name) for name in "abc"}


def test_a_training_set_that_withholds_nobody_has_the_digest_of_its_snapshots_alone(configured: Build) -> None:
    config = configured()
    source = two_days(*AGREED)
    load(config, source, 0)
    before = select_snapshots(config, moment(1, 0))
    load(config, replace(source, user_rows=[*AGREED, user("later", day=1)]), 1)
    assert select_snapshots(config, moment(1, 0)) == before


def test_another_pseudonym_key_is_refused_with_a_way_to_rotate(
    configured: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configured()
    load(config, two_days(*AGREED), 0)
    monkeypatch.setenv("RECSYS_PSEUDONYM_KEY", NEW_KEY)
    with pytest.raises(ConfigError, match=r"was written with development.*recsys rotate-key") as caught:
        load(config, two_days(*AGREED), 1)
    assert NEW_KEY not in str(caught.value)
    assert read(config)["interactions"] == {hidden(name) for name in "abc"}


def test_snapshots_of_two_keys_are_no_training_set(
    configured: Build, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    config, elsewhere = configured(), configured(storage=str(tmp_path / "elsewhere"))
    load(config, two_days(*AGREED), 0)
    monkeypatch.setenv("RECSYS_PSEUDONYM_KEY", NEW_KEY)
    load(elsewhere, two_days(*AGREED), 1)
    (tmp_path / "elsewhere" / "snapshots" / "2026-01-02").rename(tmp_path / "state" / "snapshots" / "2026-01-02")
    with pytest.raises(DataError, match="several pseudonym keys"):
        select_snapshots(config)
