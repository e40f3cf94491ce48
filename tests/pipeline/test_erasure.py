"""Erasure: after an order nothing below the storage root holds the user, and everybody else is served as before."""

import json
import shutil
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys import pipeline
from recsys.data import load_key
from recsys.data.privacy import mask_references
from recsys.errors import DataError, StorageError
from recsys.eventlog import User, open_log
from recsys.model.redact import forget_rows
from recsys.pipeline.erasure_orders import open_orders
from recsys.registry import load_bundle
from recsys.serving import read_champion
from recsys.storage import current, join, list_names, read_json, write_json
from tests.pipeline.canary import (
    AS_OF,
    CANARY,
    EVENTS,
    ORDERED,
    RECEIPT,
    Mine,
    champion_evaluation,
    everything,
    learned_row,
    lists_of,
    mine,
    order,
    others,
    traces,
    trained,
)

__all__ = ["mine", "trained"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_the_canary_is_everywhere_before_and_nowhere_after(mine: Mine) -> None:
    config, root = mine.config, mine.config.storage
    rooms = {each.split("/")[0] for each in traces(root, (mine.pseudonym,))}
    assert {"snapshots", "staging", "consent", "features", "bundles", "users", "eventlog", "mlartifacts",
            "quarantine-eventlog"} <= rooms  # fmt: skip
    known = others(mine)
    before, champion = lists_of(config, known), read_champion(root)
    assert champion is not None
    place = load_bundle(champion.bundle).dataset.spec.user_vocab.index(mine.pseudonym) + 1
    assert learned_row(f"{champion.bundle}/towers", place).any()
    order(mine)
    assert pipeline.erase(config, AS_OF)["certificates"] == [RECEIPT]
    assert traces(root, tuple(each for each in mine.secrets if each != CANARY)) == []
    assert traces(root, (CANARY,)) == ["quarantine-eventlog/2026-01-20.jsonl"]  # an order names no id of the source
    assert lists_of(config, known) == before
    after = read_champion(root)
    assert after is not None and after.digest != champion.digest
    assert not learned_row(f"{after.bundle}/towers", place).any()
    judged = [user.startswith("removed-") for user in pipeline_vocabulary(after.recipe_features)]
    assert sum(judged) == 1 and not learned_row(after.recipe_towers, judged.index(True) + 1).any()
    with (
        np.load(f"{champion_evaluation(mine)}/per_user.npz") as old,
        np.load(f"{after.evaluation}/per_user.npz") as new,
    ):
        assert {name: len(old[name]) - len(new[name]) for name in old.files} == dict.fromkeys(old.files, 1)
    assert not list_names(join(root, "monitoring", "before"))
    assert not open_orders(config, load_key(config)) and not list_names(join(root, "erasure", "work"))
    lines = Path(root, "quarantine-eventlog", "2026-01-20.jsonl").read_text().splitlines()
    assert len(lines) == 2  # only the message with the pseudonym went
    stored = everything(root)
    assert pipeline.erase(config, AS_OF)["certificates"] == []
    assert everything(root) == stored
    assert pipeline.gc(config, AS_OF)["findings"] is not None


def pipeline_vocabulary(features: str) -> list[str]:
    from recsys.features import load_spec

    return load_spec(features).user_vocab


def test_who_was_erased_does_not_come_back_with_older_days_until_consenting_anew(mine: Mine) -> None:
    config = mine.config
    order(mine)
    pipeline.erase(config, AS_OF)
    staged = pipeline.ingest(config)["partitions"]
    assert sum(each["counts"].get("withheld_erased", 0) for each in staged) == len(EVENTS)
    pipeline.validate(config, staged)
    secrets = (mine.pseudonym, *EVENTS, *mask_references(pl.Series(EVENTS), load_key(config)).to_list())
    assert traces(config.storage, secrets) == []
    assert pipeline.verify_erasure(config, RECEIPT)["holds"] == {}
    log = open_log(config, load_key(config).key_id)
    log.put_users([User(user_id=mine.pseudonym, consent_personalization=False)], ORDERED + timedelta(days=1))
    assert "withheld_erased" in pipeline.ingest(config)["partitions"][0]["counts"]
    log.put_users([User(user_id=mine.pseudonym, consent_personalization=True)], ORDERED + timedelta(days=2))
    staged = pipeline.ingest(config)["partitions"]
    assert not any("withheld_erased" in each["counts"] for each in staged)
    found = pipeline.verify_erasure(config, RECEIPT)
    assert found["consented_anew"] and found["holds"]["eventlog"] == 1


def test_an_order_by_hand_takes_the_id_of_the_source_out_of_messages_too(mine: Mine) -> None:
    config = mine.config
    (receipt,) = pipeline.erase(config, AS_OF, CANARY)["certificates"]
    assert traces(config.storage, mine.secrets) == []
    lines = Path(config.storage, "quarantine-eventlog", "2026-01-20.jsonl").read_text().splitlines()
    assert [json.loads(json.loads(line)["message"]) for line in lines] == [{"user_id": "canary"}]
    assert pipeline.verify_erasure(config, receipt)["holds"] == {}


def test_who_withdrew_before_is_erased_from_lists_and_towers_too(mine: Mine) -> None:
    """A collection leaves the row of the towers and a training set's list of withheld users."""
    config, root = mine.config, mine.config.storage
    champion = read_champion(root)
    assert champion is not None
    place = load_bundle(champion.bundle).dataset.spec.user_vocab.index(mine.pseudonym) + 1
    newest = current(join(root, "consent", max(list_names(join(root, "consent")))))
    allowed = pl.read_parquet(f"{newest}/users.parquet").filter(pl.col("user_id") != mine.pseudonym)
    from recsys.storage import publish, read_manifest

    with publish(
        join(root, "consent", "2026-01-22T000000"),
        {**read_manifest(str(newest)).info, "end": "2026-01-22T00:00:00+00:00"},
    ) as folder:
        allowed.write_parquet(folder.path / "users.parquet")
    pipeline.select(config)  # lists who is withheld
    pipeline.gc(config, AS_OF, apply=True)
    assert any(each.startswith("datasets/") for each in traces(root, (mine.pseudonym,)))
    withdrawn = read_champion(root)
    assert withdrawn is not None and learned_row(f"{withdrawn.bundle}/towers", place).any()
    order(mine)
    pipeline.erase(config, AS_OF)
    after = read_champion(root)
    assert after is not None and not learned_row(f"{after.bundle}/towers", place).any()
    assert not (Path(after.evaluation) / "per_user.npz").exists()  # nobody can tell whose value is whose
    assert traces(root, tuple(each for each in mine.secrets if each != CANARY)) == []
    assert pipeline.erase(config, AS_OF)["certificates"] == []


def test_an_order_that_is_too_old_fails_the_deadline(mine: Mine) -> None:
    order(mine)
    assert pipeline.check_erasures(mine.config, "2026-02-19")["open"] == 1
    with pytest.raises(DataError, match=f"open for more than 30 days, the first has the receipt {RECEIPT}"):
        pipeline.check_erasures(mine.config, "2026-02-20")


def test_an_order_of_another_key_is_refused(mine: Mine) -> None:
    order(mine)
    path = join(mine.config.storage, "erasure", "orders", f"{RECEIPT}.json")
    write_json(path, {**read_json(path), "key_id": "other"})
    with pytest.raises(DataError, match="names a user by the pseudonym key other"):
        pipeline.erase(mine.config, AS_OF)


def test_a_row_outside_the_table_of_users_is_refused(mine: Mine, tmp_path: Path) -> None:
    champion = read_champion(mine.config.storage)
    assert champion is not None
    shutil.copyfile(f"{champion.bundle}/towers/query.onnx", tmp_path / "query.onnx")
    with pytest.raises(StorageError, match="got 10000: it is of other features"):
        forget_rows(tmp_path / "query.onnx", [10_000])


def test_a_folder_that_a_killed_writer_left_goes_with_the_user(mine: Mine) -> None:
    aside = Path(mine.config.storage, "snapshots", "2026-01-01", ".writing-x")
    aside.mkdir()
    pl.DataFrame({"user_id": [mine.pseudonym]}).write_parquet(aside / "users.parquet")
    order(mine)
    pipeline.erase(mine.config, AS_OF)
    assert not aside.exists()


def test_a_rotation_of_the_key_brings_nobody_back(mine: Mine, monkeypatch: pytest.MonkeyPatch) -> None:
    order(mine)
    with monkeypatch.context() as other:
        other.setenv("RECSYS_PSEUDONYM_KEY", "another key of sixteen bytes")
        with pytest.raises(DataError, match="orders of erasure are open"):
            pipeline.rotate_key(mine.config)
    pipeline.erase(mine.config, AS_OF)
    monkeypatch.setenv("RECSYS_PSEUDONYM_KEY", "another key of sixteen bytes")
    with pytest.raises(DataError, match="1 users were erased"):
        pipeline.rotate_key(mine.config)
