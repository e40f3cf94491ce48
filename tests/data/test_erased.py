"""Who was erased does not pass the privacy door, whatever the source says, until consenting anew in the event log."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from recsys.config import Config
from recsys.data import ingest_partition, load_key, pseudonymise
from recsys.data.erased import bury, read_tombstones
from recsys.errors import ConfigError, StorageError
from recsys.eventlog import User, open_log
from recsys.storage import join, read_json, write_json
from tests.data.conftest import DAY, LiteralSource, event, item, user

AT = datetime(2026, 2, 1, tzinfo=UTC)
Build = Callable[..., Config]


def hidden(config: Config, name: str) -> str:
    return str(pseudonymise(pl.Series([name]), load_key(config))[0])


def counts_of(config: Config, source: LiteralSource) -> dict[str, int]:
    return dict(ingest_partition(config, source, DAY, DAY + timedelta(days=1), "2026-01-01")["counts"])


def test_events_of_an_erased_user_are_withheld_and_counted(configured: Build) -> None:
    config = configured()
    source = LiteralSource(
        [event(0, "one"), event(1, "two"), event(2, "two")], [user("one"), user("two")], [item("i0")]
    )
    assert "withheld_erased" not in counts_of(config, source)
    bury(config, {hidden(config, "two"): AT}, load_key(config))
    counts = counts_of(config, source)
    assert (counts["kept"], counts["withheld_erased"], counts["users_kept"]) == (1, 2, 1)


def test_without_any_users_table_an_erased_user_is_withheld_too(configured: Build) -> None:
    config = configured(privacy={"consent_missing": "allow"})
    source = LiteralSource([event(0, "one"), event(1, "two")], [], [item("i0")])
    bury(config, {hidden(config, "two"): AT}, load_key(config))
    counts = counts_of(config, source)
    assert (counts["kept"], counts["withheld_erased"]) == (1, 1)


@pytest.mark.parametrize(
    ("hours", "consent", "deleted", "passes"),
    [(1, True, False, True), (-1, True, False, False), (1, False, False, False), (1, None, False, False),
     (1, True, True, False)],
)  # fmt: skip
def test_only_a_newer_consent_in_the_event_log_lets_pass_again(
    configured: Build, hours: int, consent: bool | None, deleted: bool, passes: bool
) -> None:
    config = configured()
    key, name = load_key(config), hidden(config, "one")
    bury(config, {name: AT}, key)
    log = open_log(config, key.key_id)
    log.put_users([User(user_id=name, consent_personalization=consent, deleted=deleted)], AT + timedelta(hours=hours))
    log.close()
    assert read_tombstones(config, key).marks(pl.Series([name, "f" * 32, None])).to_list() == [not passes, False, False]


def test_the_list_holds_no_pseudonym_and_the_later_order_counts(configured: Build) -> None:
    config = configured()
    key, name = load_key(config), hidden(config, "one")
    bury(config, {name: AT}, key)
    bury(config, {name: AT - timedelta(days=1)}, key)
    text = json.dumps(read_json(join(config.storage, "erasure", "tombstones.json")))
    assert name not in text and text.count(AT.isoformat()) == 1


def test_a_list_of_another_key_or_a_damaged_one_lets_nobody_pass(configured: Build) -> None:
    config = configured()
    key = load_key(config)
    bury(config, {hidden(config, "one"): AT}, key)
    path = join(config.storage, "erasure", "tombstones.json")
    write_json(path, {**read_json(path), "key_id": "other"})
    with pytest.raises(ConfigError, match="written with the pseudonym key other"):
        read_tombstones(config, key)
    Path(path).write_text('{"key_id": "development"}')
    with pytest.raises(StorageError, match="erased users would come back"):
        read_tombstones(config, key)
