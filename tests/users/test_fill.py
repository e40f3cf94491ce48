"""The stage that fills the store: every user of a training set, once, whatever ends it."""

from dataclasses import fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from recsys import pipeline
from recsys.config import Config
from recsys.data import consent_end
from recsys.errors import StorageError
from recsys.features import frames_to_dataset
from recsys.schema import INTERACTIONS, ITEMS, PRIVATE_USERS
from recsys.storage import publish
from recsys.users import BackedUserStore, Encoding, Event, UserState, UserStore, open_users
from tests.users.conftest import at, event

USERS = [f"{place * 4111:04x}{'0' * 28}" for place in range(16)]
ITEM_IDS = [f"i{place}" for place in range(9)]
Json = dict[str, Any]


def frame(rows: list[Json], schema: dict[str, pl.DataType]) -> pl.DataFrame:
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)


def events_of(day: int) -> list[Event]:
    kinds = ("view", "like", "impression", "dislike")
    return [
        event(user=user, item=ITEM_IDS[(place * 7 + turn * 2 + day) % 9], hours=24 * day + turn, device=("tv", None)[turn % 2],
              kind=kinds[(place + turn) % 4])
        for place, user in enumerate(USERS)
        for turn in range(6)
    ]  # fmt: skip


class World:
    """A storage root with the snapshots of some days, written as ingest and validate would."""

    def __init__(self, root: Path, **settings: Any) -> None:
        self.config = Config.model_validate({"storage": str(root), "features": {"text_dim": 2}, **settings})
        self.users: list[Json] = [{"user_id": user, "age": "18-24", "consent_personalization": True} for user in USERS]

    def load(self, day: int, *, withheld: tuple[str, ...] = ()) -> None:
        start, end = at(24 * day), at(24 * day + 24)
        info = {"start": start.isoformat(), "end": end.isoformat(), "key_id": "development"}
        allowed = [user for user in USERS if user not in withheld]
        name = start.date().isoformat()
        with publish(f"{self.config.storage}/snapshots/{name}", info) as folder:
            rows = [each._asdict() for each in events_of(day)]
            frame(rows, INTERACTIONS).write_parquet(folder.path / "interactions.parquet")
            frame(self.users, PRIVATE_USERS).write_parquet(folder.path / "users.parquet")
            items = [{"item_id": item, "title": item, "duration_s": 100.0} for item in ITEM_IDS]
            frame(items, ITEMS).write_parquet(folder.path / "items.parquet")
        known = {"end": end.isoformat(), "key_id": "development", "everyone": False}
        with publish(f"{self.config.storage}/consent/{end:%Y-%m-%dT%H%M%S}", known) as folder:
            pl.DataFrame({"user_id": allowed}).write_parquet(folder.path / "users.parquet")

    def select(self, as_of: datetime | None = None) -> str:
        return str(pipeline.select(self.config, as_of.isoformat() if as_of else None)["dataset"])

    def fill(self, dataset: str | None = None) -> Json:
        return pipeline.fill_users(self.config, dataset or self.select())

    @property
    def store(self) -> UserStore:
        return open_users(self.config)

    def states(self) -> dict[str, UserState]:
        return self.store.get_many(list(self.store.users()))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    for name in ("RECSYS_USERS_URL", "RECSYS_PSEUDONYM_KEY", "RECSYS_PSEUDONYM_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("recsys.pipeline.users._ROWS", 50)  # several blocks
    world = World(tmp_path)
    world.load(0)
    world.load(1)
    return world


def test_every_user_is_filled_as_the_training_set_says(world: World) -> None:
    assert world.fill() == {"users": 16, "changed": 16, "withheld": 0, "blocks": 4, "of": 4}
    rows = [each._asdict() for day in (0, 1) for each in events_of(day)]
    tables = (frame(rows, INTERACTIONS), frame(world.users, PRIVATE_USERS), frame([], ITEMS))
    dataset = frames_to_dataset(world.config.features, *tables, whole=True)
    places = {item: row for row, item in enumerate(dataset.items.ids.tolist())}
    encoding, states = Encoding(dataset.spec, places, world.config.features), world.states()
    for row, user in enumerate(dataset.users.ids.tolist()):
        own = slice(dataset.events.offsets[row], dataset.events.offsets[row + 1])
        events = states[user].arrays(encoding)
        for each in fields(events):
            if each.name != "offsets":
                np.testing.assert_array_equal(getattr(events, each.name), getattr(dataset.events, each.name)[own])
        users = states[user].user_arrays(encoding)
        assert users.demographics.tolist() == dataset.users.demographics[[row]].tolist()
        assert users.vocab.tolist() == dataset.users.vocab[[row]].tolist()


def test_a_second_fill_reads_nothing_and_a_new_day_is_merged(world: World) -> None:
    world.fill()
    before = world.states()
    assert world.fill() == {"users": 0, "changed": 0, "withheld": 0, "blocks": 0, "of": 4}
    assert world.states() == before
    world.load(2)
    assert world.fill()["changed"] == 16
    assert max(meeting.timestamp for meeting in world.states()[USERS[3]].meetings) > at(48).timestamp()


@pytest.mark.parametrize("n_before", [0, 1, 3])
def test_a_fill_that_was_ended_goes_on_and_ends_the_same(
    world: World, n_before: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fill, done = BackedUserStore.fill, []

    def ended(store: BackedUserStore, states: Any) -> Any:
        if len(done) == n_before:
            next(iter(states))
            raise KeyboardInterrupt
        done.append(1)
        return fill(store, states)

    with monkeypatch.context() as patch:
        patch.setattr(BackedUserStore, "fill", ended)
        with pytest.raises(KeyboardInterrupt):
            world.fill()
    assert world.fill()["blocks"] == 4 - n_before
    resumed = world.states()
    world.store.clear()
    assert world.fill()["blocks"] == 4
    assert world.states() == resumed


def test_what_came_online_meanwhile_stays(world: World) -> None:
    world.fill(world.select(at(24)))
    world.store.apply([event(user=USERS[0], item="new", hours=30), event(user="new", item="i0", hours=31)])
    world.store.put_demographics(USERS[0], {"age": "25-34"}, at(500))
    world.fill()
    states = world.states()
    assert "new" in {meeting.item for meeting in states[USERS[0]].meetings}
    assert "new" in states
    assert states[USERS[0]].demographics == {"age": "25-34"}
    assert states[USERS[1]].demographics == {"age": "18-24"}


def test_who_withdrew_online_stays_without_meetings_whatever_is_filled(world: World) -> None:
    world.fill(world.select(at(24)))
    world.store.set_consent(USERS[0], {"consent_personalization": False}, at(20))
    world.fill()
    world.load(2)
    world.fill()
    assert world.states()[USERS[0]].meetings == ()
    assert world.states()[USERS[1]].meetings


def test_whom_the_register_withholds_is_dropped_and_comes_back_with_it(world: World) -> None:
    world.fill()
    world.load(2, withheld=(USERS[0],))
    assert world.fill()["withheld"] == 1
    state = world.states()[USERS[0]]
    assert (state.meetings, state.consent_personalization) == ((), False)
    assert world.store.apply([event(user=USERS[0], hours=70)])["withheld"] == 1
    older = world.select(at(24))  # the newest register counts for older days too
    assert world.fill(older)["changed"] == 0
    world.load(3)
    world.fill()
    assert {meeting.day for meeting in world.states()[USERS[0]].meetings} == {20458 + day for day in range(4)}


def test_a_withdrawal_counts_although_an_older_set_is_filled(world: World) -> None:
    world.fill()
    end = consent_end(world.config.storage)
    assert end == at(48)
    world.load(2, withheld=(USERS[0],))
    world.fill(world.select(at(24)))
    assert world.states()[USERS[0]].meetings == ()


def test_meetings_past_retention_are_dropped(world: World, tmp_path: Path) -> None:
    world.fill()
    world.load(2)
    kept = World(tmp_path, privacy={"retention_days": 1})
    kept.fill()
    assert {meeting.day for state in kept.states().values() for meeting in state.meetings} == {20460}


def test_other_settings_are_filled_again(world: World, tmp_path: Path) -> None:
    world.fill()
    other = World(tmp_path, features={"event_weights": {"view": 5.0, "like": 1.0}, "watch_ratio_weight": 0.5})
    with pytest.raises(StorageError, match="fill them again"):
        other.store.get(USERS[0])
    assert other.fill()["blocks"] == 4
    refilled = other.states()
    other.store.clear()
    other.fill()
    assert other.states() == refilled


@pytest.mark.slow
def test_the_demo_worlds_users_are_those_of_its_training_set(tmp_path: Path) -> None:
    source = {"kind": "demo", "scale": 0.1, "n_items": 100, "days": 6}
    config = Config.model_validate({"storage": str(tmp_path), "source": source, "features": {"text_dim": 2}})
    pipeline.validate(config, pipeline.ingest(config)["partitions"])
    dataset = str(pipeline.select(config)["dataset"])
    pipeline.fill_users(config, dataset)
    from recsys.features import build_features, load_dataset

    arrays = load_dataset(build_features(config, dataset, whole=True))
    encoding = Encoding(arrays.spec, {item: row for row, item in enumerate(arrays.items.ids.tolist())}, config.features)
    store = open_users(config)
    for row, user in enumerate(arrays.users.ids.tolist()):
        own = slice(arrays.events.offsets[row], arrays.events.offsets[row + 1])
        state = store.get(user) or UserState(user)
        np.testing.assert_array_equal(state.arrays(encoding).item, arrays.events.item[own])
        np.testing.assert_array_equal(state.user_arrays(encoding).demographics[0], arrays.users.demographics[row])
        if state.facts:
            assert state.signed_up_at is None or state.signed_up_at < at(0) + timedelta(days=400)
