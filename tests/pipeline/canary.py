"""A small world whose champion knows one user with unmistakable ids, and a search of every file for them."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import onnx
import polars as pl
import pytest

from recsys import pipeline
from recsys.config import Config
from recsys.data import load_key, pseudonymise
from recsys.data.privacy import mask_references
from recsys.eventlog import Event, User, open_log
from recsys.pipeline.promotion import completed
from recsys.registry import record_decision
from recsys.serving import Champion, open_recommender, read_champion
from recsys.storage import append_line, join, write_json
from recsys.users import open_users
from tests.pipeline.conftest import START, Json, Tables, challenge

AS_OF = "2026-01-21"
ORDERED = datetime(2026, 1, 20, 10, tzinfo=UTC)
RECEIPT = "0123456789abcdef0123456789abcdef"
CANARY = "canary-of-the-mine"
EVENTS = [f"canary-sings-{n}" for n in range(40)]
LOGGED = [f"canary-online-{n}" for n in range(3)]


@dataclass(frozen=True)
class Mine:
    """A storage root whose champion knows the canary, and what must not be found there after the erasure."""

    config: Config
    pseudonym: str
    secrets: tuple[str, ...]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, no_server: None) -> Mine:
    folder = tmp_path_factory.mktemp("mine")
    config = tables_with_canary(folder).config(blend={"enabled": False})
    config = config.model_copy(update={"partition": "day"})
    key = load_key(config)
    hidden = str(pseudonymise(pl.Series([CANARY]), key)[0])
    masked = mask_references(pl.Series(EVENTS), key).to_list()
    pipeline.validate(config, pipeline.ingest(config)["partitions"])
    chosen = pipeline.select(config)
    pipeline.fill_users(config, chosen["dataset"])
    features = pipeline.build_features(config, chosen["dataset"])
    registered = challenge(config, features["features"], chosen["dataset"])
    promote(config, registered)
    write_online(config, hidden)
    return Mine(config, hidden, (CANARY, hidden, *EVENTS, *LOGGED, *masked))


@pytest.fixture
def mine(trained: Mine, tmp_path: Path) -> Mine:
    root = tmp_path / "state"
    shutil.copytree(trained.config.storage, root)
    return replace(trained, config=trained.config.model_copy(update={"storage": str(root)}))


def tables_with_canary(folder: Path) -> Tables:
    n = 600
    rows = [(f"e{row}", f"u{row % 30}", f"i{(row % 30 + row // 30) % 20}", 12 * row) for row in range(n)]
    rows += [
        (name, CANARY, f"i{place % 15 if place < 36 else 15 + place % 5}", 180 * place + 7)
        for place, name in enumerate(EVENTS)
    ]
    events = pl.DataFrame(
        {
            "event_id": [row[0] for row in rows], "user_id": [row[1] for row in rows],
            "item_id": [row[2] for row in rows], "event": ["like"] * len(rows),
            "timestamp": [(START + timedelta(minutes=row[3])).isoformat() for row in rows],
        }
    )  # fmt: skip
    names = [*(f"u{row}" for row in range(30)), CANARY]
    users = pl.DataFrame({"user_id": names, "consent_personalization": [True] * 31})
    titles = {
        "title": [f"Title {row}" for row in range(20)],
        "categories": [("news", "sport")[row % 2] for row in range(20)],
    }
    return Tables(folder, events, users, pl.DataFrame({"item_id": [f"i{row}" for row in range(20)], **titles}))


def promote(config: Config, registered: Json) -> None:
    """Let what is registered serve as after a promotion; its data is too small for the gates."""
    served = Champion.model_validate({name: registered[name] for name in Champion.model_fields if name in registered})
    record = {"kind": "promoted", "decision": "test", "promoted": True, "version": served.version,
              "challenger": served.digest, "served": served.to_record(config.storage)}  # fmt: skip
    record_decision(config.storage, record)
    completed(config, None)


def write_online(config: Config, hidden: str) -> None:
    """Let the canary stand in the event log, in the broker's quarantine and in monitoring's values."""
    log = open_log(config, load_key(config).key_id)
    log.append_events(
        [Event(event_id=name, user_id=hidden, item_id="i1", event="click", timestamp=ORDERED) for name in LOGGED],
        ORDERED - timedelta(hours=1),
    )
    log.put_users([User(user_id=hidden, consent_personalization=True)], ORDERED - timedelta(hours=1))
    log.append_events(
        [Event(event_id="other", user_id="f" * 32, item_id="i1", event="click", timestamp=ORDERED)], ORDERED
    )
    log.close()
    message = json.dumps({"user_id": hidden, "event_id": LOGGED[0]})
    for text in (message, json.dumps({"user_id": CANARY}), json.dumps({"user_id": "canary"})):
        line = {"offset": "1", "reason": "none", "at": ORDERED.isoformat(), "message": text}
        append_line(join(config.storage, "quarantine-eventlog", "2026-01-20.jsonl"), line)
    write_json(join(config.storage, "monitoring", "before", "abc-1.json"), {"ndcg": [0.5, 0.25]})


def order(mine: Mine, receipt: str = RECEIPT, at: datetime = ORDERED) -> None:
    told = {"receipt": receipt, "user": mine.pseudonym, "key_id": "development", "at": at.isoformat()}
    write_json(join(mine.config.storage, "erasure", "orders", f"{receipt}.json"), told)


def traces(root: str, secrets: tuple[str, ...]) -> list[str]:
    """Return the files below a root that hold a secret: their names, their bytes, and what is packed inside."""
    found = []
    for path in sorted(Path(root).rglob("*")):
        texts = [str(path.relative_to(root)).encode(), *contents(path)] if path.is_file() else [path.name.encode()]
        if any(secret.encode() in text for secret in secrets for text in texts):
            found.append(str(path.relative_to(root)))
    return found


def contents(path: Path) -> Iterator[bytes]:
    yield path.read_bytes()
    if path.suffix == ".parquet":
        yield pl.read_parquet(path).write_json().encode()
    elif path.suffix in (".npy", ".npz"):
        loaded = np.load(path)
        arrays = [loaded] if path.suffix == ".npy" else [loaded[name] for name in loaded.files]
        yield b" ".join(array.tobytes() for array in arrays)
    elif path.suffix in (".sqlite", ".db"):
        with closing(sqlite3.connect(path)) as connection:
            yield "\n".join(connection.iterdump()).encode()
    elif path.suffix == ".onnx":
        model = onnx.load(path)
        yield b" ".join(each.raw_data for each in model.graph.initializer)


def lists_of(config: Config, users: list[str]) -> list[list[tuple[str, float]]]:
    champion = read_champion(config.storage)
    assert champion is not None
    recommender = open_recommender(config, champion.bundle, champion.index)
    return [[(each.item_id, each.score) for each in recommender.recommend(user, 10)] for user in users]


def others(mine: Mine) -> list[str]:
    return [user for user in open_users(mine.config).users() if user != mine.pseudonym]


def everything(root: str) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(Path(root).rglob("*"))
            if path.is_file() and ".lock" not in path.name and path.suffix not in (".db", ".sqlite")
            and not path.name.endswith(("-wal", "-shm"))}  # fmt: skip


def learned_row(folder: str, row: int) -> np.ndarray:
    """Return a row of the one table in a query tower with as many rows as there are users and the unknown one."""
    model = onnx.load(f"{folder}/query.onnx")
    gather = next(node for node in model.graph.node if node.op_type == "Gather" and node.input[1] == "user")
    table = next(each for each in model.graph.initializer if each.name == gather.input[0])
    return np.asarray(onnx.numpy_helper.to_array(table))[row]


def champion_evaluation(mine: Mine) -> str:
    """Return the evaluation as it was before the erasure, in the world that tests copy."""
    origin = json.loads(
        Path(mine.config.source.interactions.uri).parent.joinpath("state/serving/champion.json").read_text()
    )  # type: ignore[union-attr]
    return str(Path(mine.config.source.interactions.uri).parent / "state" / origin["evaluation"])  # type: ignore[union-attr]
