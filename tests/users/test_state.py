"""Merging online is what the features do offline, whatever the order, the batches and the repetitions."""

import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.config import FeaturesConfig
from recsys.errors import StorageError
from recsys.features.assemble import complete, with_rows
from recsys.features.events import by_meeting, evidence, in_time, strongest
from recsys.schema import EVENT_KINDS, INTERACTIONS, ITEMS, PRIVATE_USERS
from recsys.users import Event, Fact, Limits, UserState, Weighing, merged, states_of_users
from recsys.users.codec import decode_state, encode_state
from recsys.users.state import decided, in_order, microseconds
from recsys.users.weighing import frame_of, settings_digest
from tests.users.conftest import LIMITS, at, event

CONFIG = FeaturesConfig(
    value_weight="log", min_rating=3.0, event_weights={"view": 1, "click": 1, "like": 2, "rating": 1}
)
DAY = timedelta(days=1)
TIMES = [at(hours) + timedelta(microseconds=us) for hours in (0, 1, 23, 24, 47.99, 48) for us in (-1, 0, 1)]
EVENTS = st.lists(
    st.builds(
        Event,
        event_id=st.sampled_from([None, "e1", "e2", "E3"]),
        user_id=st.sampled_from(["ann", "bob"]),
        item_id=st.sampled_from(["a", "b", "é"]),
        event=st.sampled_from(EVENT_KINDS),
        value=st.sampled_from([None, 0.0, 2.0, 4.0]),
        timestamp=st.sampled_from(TIMES),
        device=st.sampled_from([None, "tv", "phone"]),
    ),
    max_size=14,
)


def online(events: list[Event], generator: random.Random, limits: Limits = LIMITS) -> dict[str, UserState]:
    """Merge shuffled events, some of them twice, in batches of any size."""
    left = [*events, *generator.sample(events, len(events) // 2)]
    generator.shuffle(left)
    found: dict[str, UserState] = {}
    while left:
        n = generator.randint(1, len(left))
        batch, left = left[:n], left[n:]
        weighing = Weighing(CONFIG)
        for state in weighing.states(batch) if generator.random() < 0.8 else weighing.states_of(frame_of(batch)):
            known = found.get(state.user, UserState(state.user, settings=state.settings))
            found[state.user] = merged(known, state, limits)
    return found


def offline(events: list[Event]) -> dict[str, list[tuple[Any, ...]]]:
    """Return each user's meetings as the whole table gives them."""
    somebody = event(user="zoe", kind="like")  # without a positive event there is no training set
    frame = frame_of([*events, somebody])
    weighed = evidence(frame, CONFIG)
    rows = with_rows(
        weighed,
        users := complete(pl.DataFrame(schema=PRIVATE_USERS), PRIVATE_USERS, "user_id", weighed["user_id"]),
        items := complete(pl.DataFrame(schema=ITEMS), ITEMS, "item_id", weighed["item_id"]),
    )
    merged_rows = in_time(strongest(by_meeting(rows)))
    ids = ["", *sorted({each.event_id for each in [*events, somebody] if each.event_id is not None})]
    found: dict[str, list[tuple[Any, ...]]] = {}
    for row in merged_rows.iter_rows(named=True):
        known = weighed["event_id"].rank("dense")
        event_id = None if row["event_id"] is None else weighed["event_id"].filter(known == row["event_id"])[0]
        assert event_id is None or event_id in ids
        found.setdefault(users["user_id"][row["user_row"]], []).append(
            (
                items["item_id"][row["item_row"]],
                row["kind"],
                row["value"],
                microseconds(row["timestamp"]),
                row["device"],
                event_id,
                row["weight"],
                row["positive"],
            )
        )
    found.pop("zoe")
    return found


def check_order(events: list[Event], generator: random.Random) -> None:
    states = {user: list(map(tuple, state.meetings)) for user, state in online(events, generator).items()}
    assert states == offline(events)


@settings(max_examples=50, deadline=None)
@given(events=EVENTS, generator=st.randoms(use_true_random=False))
def test_any_order_and_batches_give_what_the_whole_table_gives(events: list[Event], generator: random.Random) -> None:
    check_order(events, generator)


def test_ties_are_broken_in_the_order_of_the_features() -> None:
    weighing = Weighing(FeaturesConfig())
    by_id = [event(kind="view", event_id="e2", device="a"), event(kind="click", event_id="e1", device="b")]
    by_kind = [event(kind="view", event_id="e1", device="b"), event(kind="click", event_id="e1", device="a")]
    by_device = [event(event_id="e1", device="b", value=1.0), event(event_id="e1", device="a", value=2.0)]
    for events, place in ((by_id, 0), (by_kind, 1), (by_device, 0)):
        for batch in (events, events[::-1]):
            (state,) = weighing.states(batch)
            (meeting,) = state.meetings
            kept = events[place]
            assert (meeting.event, meeting.event_id, meeting.device) == (kept.event, kept.event_id, kept.device)
            assert list(weighing.states_of(frame_of(batch))) == [state]


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(events=EVENTS, generator=st.randoms(use_true_random=False))
def test_many_orders_and_batches_give_what_the_whole_table_gives(events: list[Event], generator: random.Random) -> None:
    check_order(events, generator)


@settings(max_examples=40, deadline=None)
@given(
    events=EVENTS,
    one=st.randoms(use_true_random=False),
    limits=st.builds(Limits, st.integers(1, 4), st.integers(0, 2)),
)
def test_what_is_beyond_the_limits_does_not_depend_on_the_order(
    events: list[Event], one: random.Random, limits: Limits
) -> None:
    first, second = online(events, one, limits), online(events, one, limits)
    assert first == second
    for user, state in first.items():
        whole = online(events, one)[user]
        kept = sorted(whole.meetings, key=lambda each: (each.day, each.item))[-limits.max_meetings :]
        assert state.meetings == in_order(kept)
        assert len(state.met) <= limits.max_met
        assert {*state.met} <= {each.item for each in whole.meetings}


@settings(max_examples=40, deadline=None)
@given(events=EVENTS, generator=st.randoms(use_true_random=False))
def test_a_state_is_read_as_it_was_written(events: list[Event], generator: random.Random) -> None:
    for state in online(events, generator, Limits(2, 5)).values():
        known = UserState(
            state.user,
            {"age": Fact("18-24", 5), "do_not_sell": Fact(True, 7), "signed_up_at": Fact(-3, 9)},
            state.meetings,
            state.met,
            generator.randint(0, 2**60),
            state.settings,
        )
        assert decode_state(state.user, encode_state(known)) == known


def test_bytes_that_are_no_state_are_told() -> None:
    stored = encode_state(UserState("ann"))
    for wrong in (b"", stored[:1], stored[:-1], b"\x01" + stored[:3]):
        with pytest.raises(StorageError, match="damaged"):
            decode_state("ann", wrong)
    with pytest.raises(StorageError, match="newer format"):
        decode_state("ann", b"\x02" + stored[1:])


def test_fifty_meetings_take_at_most_four_kilobytes() -> None:
    generator = random.Random(3)
    events = [
        event(item=f"item-{generator.randrange(10**6):06d}", hours=hours + generator.random(), device="phone",
              event_id=f"{generator.getrandbits(128):032x}", value=generator.random() * 900)
        for hours in range(0, 500, 10)
    ]  # fmt: skip
    (state,) = Weighing(FeaturesConfig()).states(events)
    assert len(state.meetings) == 50
    assert len(encode_state(state)) < 4096


def test_the_settings_that_choose_and_weigh_meetings_have_a_digest() -> None:
    base = settings_digest(FeaturesConfig())
    for changed in ({"min_rating": 1.0}, {"watch_ratio_weight": 0.5}, {"event_weights": {"view": 3.0}}):
        assert settings_digest(FeaturesConfig(**changed)) != base
    assert settings_digest(FeaturesConfig(fit_days=4, min_user_events=9)) == base
    written = {**FeaturesConfig().event_weights}
    del written["impression"]  # of weight 0, as are kinds that are not written
    assert settings_digest(FeaturesConfig(event_weights=written)) == base


def test_a_view_is_weighed_by_what_was_watched_of_it() -> None:
    weighing = Weighing(FeaturesConfig(watch_ratio_weight=1.0), {"a": 100.0})
    (state,) = weighing.states([event(value=25.0), event(item="b", value=25.0)])
    assert [meeting.weight for meeting in state.meetings] == [0.25, 1.0]


@settings(max_examples=40, deadline=None)
@given(
    events=EVENTS,
    config=st.sampled_from(
        [{}, {"min_rating": 2.0}, {"min_rating": -1.0, "event_weights": {"view": 0.1, "rating": 0}}]
    ),
)
def test_few_events_are_weighed_as_a_table_is(events: list[Event], config: dict[str, Any]) -> None:
    odd = [event(kind="rating", value=value, item=str(value)) for value in (float("nan"), float("-inf"), 3, True)]
    weighing = Weighing(FeaturesConfig(**config))
    assert list(weighing._of_few([*events, *odd])) == list(weighing.states_of(frame_of([*events, *odd])))


def test_a_value_that_is_no_number_is_no_value() -> None:
    (state,) = Weighing(FeaturesConfig()).states([event(value=float("nan")), event(item="b", value=float("inf"))])
    assert [meeting.value for meeting in state.meetings] == [None, None]
    assert decode_state("ann", encode_state(state)) == state


def test_a_users_row_says_what_is_known_by_then() -> None:
    rows = [{"user_id": "ann", "age": "18-24", "occupation": "cook", "consent_personalization": True,
             "signed_up_at": at(1)}, {"user_id": "bob", "do_not_sell": False}]  # fmt: skip
    users = pl.DataFrame([{name: row.get(name) for name in PRIVATE_USERS} for row in rows], schema=PRIVATE_USERS)
    ann, bob = states_of_users(users, ("age", "gender", "lacking"), at(5))
    assert (ann.demographics, ann.consent_personalization, ann.signed_up_at) == ({"age": "18-24"}, True, at(1))
    assert (ann.consent_analytics, bob.do_not_sell, bob.demographics) == (None, False, {})
    assert {fact.at for fact in ann.facts.values()} == {microseconds(at(5))}


def test_of_two_facts_from_one_time_the_refusal_counts() -> None:
    for name, refusal in (("consent_analytics", False), ("consent_personalization", False), ("do_not_sell", True)):
        states = [UserState("ann", {name: Fact(value, 5)}) for value in (True, False)]
        for one, other in (states, states[::-1]):
            assert merged(one, other, LIMITS).facts[name].value is refusal


@pytest.mark.parametrize("returns_at", [20, 10])
def test_after_a_return_only_what_came_later_is_kept(returns_at: int) -> None:
    (state,) = Weighing(FeaturesConfig()).states([event(), event(item="b", hours=30)])
    limits = LIMITS
    away = decided(state, {"consent_personalization": False}, microseconds(at(10)), limits)
    back = decided(away, {"consent_personalization": True}, microseconds(at(returns_at)), limits)
    assert (away.meetings, back.consent_personalization) == ((), True)
    assert [meeting.item for meeting in merged(back, state, limits).meetings] == ["b"]


def test_items_met_before_a_withdrawal_are_forgotten_too() -> None:
    weighing = Weighing(FeaturesConfig())
    limits = Limits(1, 5)
    (state,) = weighing.states([event(), event(item="b", hours=30), event(item="c", hours=60)])
    short = merged(UserState("ann"), state, limits)
    assert (len(short.meetings), set(short.met)) == (1, {"a", "b"})
    away = decided(short, {"consent_personalization": False}, microseconds(at(50)), limits)
    assert (away.met, merged(away, short, limits).met) == ({}, {})
    late = decided(
        decided(short, {"consent_personalization": True}, microseconds(at(90)), limits),
        {"consent_personalization": False},
        microseconds(at(26)),
        limits,
    )
    assert (late.consent_personalization, set(late.met), len(late.meetings)) == (True, set(), 1)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="must have a zone"):
        microseconds(datetime(2026, 1, 1))
    berlin = datetime.fromisoformat("2026-01-01T01:00:00+01:00")
    assert microseconds(berlin) == microseconds(datetime(2026, 1, 1, tzinfo=UTC))


def test_nothing_heavy_is_imported_on_the_way_of_a_request(tmp_path: Path) -> None:
    code = f"""
import sys
from datetime import UTC, datetime
from recsys.config import Config
from recsys.users import Event, open_users
store = open_users(Config(storage={str(tmp_path)!r}))
store.apply([Event("e", "u", "i", "view", None, datetime(2026, 1, 1, tzinfo=UTC))])
assert len(store.get("u").meetings) == 1
heavy = {{"pandas", "matplotlib", "sklearn", "mlflow", "tensorflow", "great_expectations", "redis", "psycopg"}}
print(sorted(heavy & {{name.split(".")[0] for name in sys.modules}}))
"""
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "[]"


def test_the_contract_names_every_column_of_an_event() -> None:
    assert set(Event._fields) <= set(INTERACTIONS)
