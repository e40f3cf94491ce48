"""Collection: nothing stored holds who may not be read any more; what serves goes on with redacted copies."""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from recsys import pipeline
from recsys.config import Config
from recsys.errors import DataError
from recsys.registry import load_bundle
from recsys.registry.versions import version_tags
from recsys.serving import open_recommender, read_champion
from recsys.storage import current, join, list_names, publish
from recsys.users import open_users
from tests.pipeline.conftest import Json, World, challenge

pytestmark = pytest.mark.slow
AS_OF = "2026-01-21"


@pytest.fixture(scope="module")
def second(world: World) -> Json:
    lenient = config_of(world, world.config.storage)
    return challenge(lenient, world.features["features"], world.chosen["dataset"])


@pytest.fixture
def root(world: World, second: Json, tmp_path: Path) -> tuple[Config, Callable[[Json], Json]]:
    """A copy of the world, in which a second champion may replace the first."""
    root = str(tmp_path / "state")
    shutil.copytree(world.config.storage, root)
    return config_of(world, root), lambda each: json.loads(json.dumps(each).replace(world.config.storage, root))


def config_of(world: World, root: str) -> Config:
    promotion = world.config.promotion.model_copy(update={"margin": -1.0, "min_users": 2, "min_slice_users": 10_000})
    model = world.config.model.model_copy(update={"seed": 4012})
    return world.config.model_copy(update={"storage": root, "promotion": promotion, "model": model})


def withdraw(config: Config, users: set[str]) -> None:
    """Publish a newer register without some users."""
    newest = max(list_names(join(config.storage, "consent")))
    before = current(join(config.storage, "consent", newest))
    allowed = pl.read_parquet(f"{before}/users.parquet")
    info = {**json.loads(Path(f"{before}/MANIFEST.json").read_text())["info"], "end": "2026-01-22T00:00:00+00:00"}
    with publish(join(config.storage, "consent", "2026-01-22T000000"), info) as folder:
        allowed.filter(~pl.col("user_id").is_in(list(users))).write_parquet(folder.path / "users.parquet")


def files_with(root: str, text: str) -> list[str]:
    """Return the files below a root that hold a text, in the open or inside Parquet."""
    found = []
    for path in Path(root).rglob("*"):
        if not path.is_file() or "/consent/" in str(path):
            continue
        if path.suffix == ".parquet":
            table = pl.read_parquet(path)
            if "user_id" in table.columns and text in table["user_id"].to_list():
                found.append(str(path.relative_to(root)))
        elif text.encode() in path.read_bytes():
            found.append(str(path.relative_to(root)))
    return found


def everything(root: str) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in Path(root).rglob("*")
            if path.is_file() and ".lock" not in path.name and "mlflow.db" not in path.name}  # fmt: skip


def test_a_dry_run_tells_and_changes_nothing(root: tuple[Config, Callable[[Json], Json]], second: Json) -> None:
    config, _ = root
    champion = read_champion(config.storage)
    assert champion is not None
    withdraw(config, {load_bundle(champion.bundle).dataset.spec.user_vocab[0]})
    before = everything(config.storage)
    told = pipeline.gc(config, AS_OF)
    assert everything(config.storage) == before and not told["applied"]
    actions = {each["address"].split("/")[0]: each["action"] for each in told["findings"] if "redact" in each["action"]}
    assert set(actions) == {"snapshots", "staging", "features", "bundles"}
    assert any("holds 1 withheld users" in each["reason"] for each in told["findings"])
    actions = {each["version"]: each["action"] for each in told["logged"]}
    assert actions[champion.version] == "redact"
    assert actions[second["version"]] == "delete"  # it was never promoted


def test_nothing_stored_holds_who_has_withdrawn_and_the_champion_serves_on(
    root: tuple[Config, Callable[[Json], Json]],
) -> None:
    config, _ = root
    before = read_champion(config.storage)
    assert before is not None
    recommender = open_recommender(config, before.bundle, before.index)
    gone = recommender.people.example()
    kept = next(user for user in open_users(config).users() if user != gone)
    lists = [each.item_id for each in recommender.recommend(kept, 10)]
    assert gone is not None
    withdraw(config, {gone})
    pipeline.gc(config, AS_OF, apply=True)
    assert files_with(config.storage, gone) == []
    after = read_champion(config.storage)
    assert after is not None and after.digest != before.digest
    assert not open_users(config).holds(gone)
    again = open_recommender(config, after.bundle, after.index)
    assert [each.item_id for each in again.recommend(kept, 10)] == lists
    record = pipeline.ledger(config)[-1]
    assert (record["kind"], record["replaced"], record["challenger"]) == ("redacted", before.digest, after.digest)
    tags = version_tags(config, after.version)
    assert tags["recsys.digest"] == after.digest
    assert pipeline.gc(config, AS_OF, apply=True)["findings"] == []
    assert pipeline.monitor(config, AS_OF)["reasons"]


def test_a_rollback_goes_back_to_a_redacted_copy(root: tuple[Config, Callable[[Json], Json]], second: Json) -> None:
    config, moved = root
    first = read_champion(config.storage)
    assert first is not None
    gone = open_recommender(config, first.bundle, first.index).people.example()
    assert gone is not None
    assert pipeline.promote(config, moved(second))["promoted"]
    withdraw(config, {gone})
    told = pipeline.gc(config, AS_OF, apply=True)
    logged = {each["version"]: each["action"] for each in told["logged"]}
    assert {logged[first.version], logged[second["version"]]} == {"redact"}
    assert files_with(config.storage, gone) == []
    pipeline.rollback(config)
    back = read_champion(config.storage)
    assert back is not None and back.version == first.version
    assert gone not in load_bundle(back.bundle).dataset.spec.user_vocab
    assert pipeline.gc(config, AS_OF)["findings"] == []


def test_events_past_retention_leave_what_serves(root: tuple[Config, Callable[[Json], Json]]) -> None:
    config, _ = root
    config = config.model_copy(update={"privacy": config.privacy.model_copy(update={"retention_days": 10})})
    pipeline.gc(config, AS_OF, apply=True)
    champion = read_champion(config.storage)
    assert champion is not None
    since = datetime(2026, 1, 11, tzinfo=UTC).timestamp()
    store = open_users(config)
    states = store.get_many(list(store.users())).values()
    assert min(meeting.timestamp for state in states for meeting in state.meetings) >= since * 1e6
    days = [current(join(config.storage, "snapshots", name)) for name in list_names(join(config.storage, "snapshots"))]
    assert min(pl.read_parquet(f"{uri}/interactions.parquet")["timestamp"].min() or datetime.max.replace(tzinfo=UTC)
               for uri in days).timestamp() >= since  # type: ignore[type-var]  # fmt: skip


def test_a_collection_needs_a_date(world: World) -> None:
    with pytest.raises(DataError, match="needs a date"):
        pipeline.gc(world.config, "")
