"""What every backend must do: one suite for all of them."""

import multiprocessing
import threading
from datetime import timedelta
from itertools import pairwise

import pytest

from recsys.errors import ConfigError, DataError, StorageError
from recsys.users import BackedUserStore, Event, Fact, Limits, Swap, UserState, Weighing
from recsys.users.state import microseconds
from tests.users.conftest import LIMITS, Place, at, backend_at, event, store_at


def items(store: BackedUserStore, user: str = "ann") -> list[str]:
    state = store.get(user)
    return [] if state is None else [meeting.item for meeting in state.meetings]


def filled(store: BackedUserStore, *events: Event, **facts: str | bool) -> dict[str, int]:
    states = [*store._weighing.states(events)]
    if facts:
        known = {name: Fact(value, microseconds(at(0))) for name, value in facts.items()}
        states.append(UserState("ann", known))
    return store.fill(states)


def test_nothing_is_known_of_a_stranger(store: BackedUserStore) -> None:
    assert store.get("ann") is None
    assert not store.holds("ann")
    assert not store.delete("ann")
    assert store.count() == 0
    assert list(store.users()) == []


def test_an_event_is_kept_with_all_that_is_known_of_it(store: BackedUserStore) -> None:
    assert store.apply([event(kind="rating", value=4.5, device="tv", event_id="e1")]) == {
        "events": 1, "users": 1, "changed": 1, "withheld": 0,
    }  # fmt: skip
    state = store.get("ann")
    assert state is not None
    assert state.meetings == (("a", 8, 4.5, microseconds(at(0)), "tv", "e1", 1.0, True),)
    assert state.meetings[0].event == "rating"
    assert store.get_many(["ann", "bob"]) == {"ann": state}


def test_of_one_day_the_strongest_event_is_kept_and_of_two_days_both(store: BackedUserStore) -> None:
    store.apply([event(hours=3, kind="like"), event(hours=5)])
    store.apply([event(hours=4)])
    store.apply([event(hours=30)])
    state = store.get("ann")
    assert state is not None
    assert [(meeting.event, meeting.timestamp) for meeting in state.meetings] == [
        ("like", microseconds(at(3))),
        ("view", microseconds(at(30))),
    ]


def test_what_says_nothing_about_taste_leaves_no_trace(store: BackedUserStore) -> None:
    assert store.apply([event(kind="impression")])["users"] == 0
    assert not store.holds("ann")


def test_an_event_that_comes_again_changes_nothing(store: BackedUserStore) -> None:
    batch = [event(), event(item="b", hours=1)]
    assert store.apply(batch)["changed"] == 1
    before = store.get("ann")
    assert store.apply(batch)["changed"] == 0
    assert store.apply([])["changed"] == 0
    assert store.get("ann") == before


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (event(user=""), "1 of 2 events have no user_id"),
        (event(item=""), "1 of 2 events have no item_id"),
        (event()._replace(event=None), "1 of 2 events have no event"),
        (event()._replace(timestamp=None), "1 of 2 events have no timestamp"),
        (event()._replace(timestamp=at(0).replace(tzinfo=None)), "must have a zone"),
        (event(value="much"), "columns must be of these types"),
        (event(kind="applause"), "applause"),
    ],
)
def test_a_wrong_event_is_told_before_anything_changes(store: BackedUserStore, wrong: Event, message: str) -> None:
    with pytest.raises(DataError, match=message):
        store.apply([event(user="bob"), wrong])
    assert store.count() == 0


def test_users_are_counted_and_listed(store: BackedUserStore) -> None:
    names = {f"u{place:04d}" for place in range(1203)}
    store.apply([event(user=name) for name in names])
    assert store.count() == 1203
    assert sorted(store.users()) == sorted(names)
    assert len(set(store.users(limit=7))) == 7


def test_demographics_of_a_later_time_stay(store: BackedUserStore) -> None:
    store.put_demographics("ann", {"age": "25-34", "gender": "f"}, at(5))
    store.put_demographics("ann", {"age": "18-24", "location": "DE"}, at(4))
    filled(store, age="35-44")
    state = store.get("ann")
    assert state is not None
    assert state.demographics == {"age": "25-34", "gender": "f", "location": "DE"}
    assert (state.meetings, state.consent_personalization, state.signed_up_at) == ((), None, None)


def test_a_withdrawal_drops_all_and_no_fill_brings_it_back(store: BackedUserStore) -> None:
    day = timedelta(days=1)
    store.apply([event(), event(user="bob")])
    store.set_consent("ann", {"consent_personalization": False}, at(10))
    assert items(store) == []
    assert store.apply([event(hours=20)]) == {"events": 1, "users": 1, "changed": 0, "withheld": 1}
    later = microseconds(at(10) + 30 * day)  # tables read later that do not know of it
    store.fill([*store._weighing.states([event(), event(hours=200)]),
                UserState("ann", {"consent_personalization": Fact(True, later)})])  # fmt: skip
    state = store.get("ann")
    assert state is not None
    assert (state.meetings, state.met, state.consent_personalization) == ((), {}, False)
    assert items(store, "bob") == ["a"]


def test_who_agrees_again_begins_anew(store: BackedUserStore) -> None:
    store.apply([event()])
    store.set_consent("ann", {"consent_personalization": False}, at(10))
    store.set_consent("ann", {"consent_personalization": True, "do_not_sell": True}, at(20))
    filled(store, event(), event(item="b", hours=15), event(item="c", hours=21))
    assert items(store) == ["c"]
    state = store.get("ann")
    assert state is not None
    assert (state.consent_personalization, state.do_not_sell, state.consent_analytics) == (True, True, None)


def test_a_withdrawal_that_comes_late_drops_what_was_before_it(store: BackedUserStore) -> None:
    store.apply([event(), event(item="b", hours=15)])
    store.set_consent("ann", {"consent_personalization": True}, at(12))
    store.set_consent("ann", {"consent_personalization": False}, at(10))
    assert items(store) == ["b"]


def test_a_first_agreement_keeps_what_is_known(store: BackedUserStore) -> None:
    store.apply([event()])
    store.set_consent("ann", {"consent_personalization": True, "consent_analytics": False}, at(10))
    assert items(store) == ["a"]
    with pytest.raises(ValueError, match="decisions must be about .*; got consent"):
        store.set_consent("ann", {"consent": True}, at(10))


def test_users_whom_tables_withhold_are_dropped_until_tables_agree(store: BackedUserStore) -> None:
    store.apply([event(), event(user="bob")])
    assert store.withhold(["ann", "stranger"], at(10)) == 1
    assert items(store) == []
    assert not store.holds("stranger")
    assert store.apply([event(hours=20)])["withheld"] == 1
    store.fill([*store._weighing.states([event()]),
                UserState("ann", {"consent_personalization": Fact(True, microseconds(at(50)))})])  # fmt: skip
    store.fill(store._weighing.states([event()]))
    assert items(store) == ["a"]


def test_a_deleted_user_is_gone(store: BackedUserStore) -> None:
    store.apply([event(), event(user="bob")])
    assert store.delete("ann")
    assert not store.holds("ann")
    assert store.get("ann") is None
    assert list(store.users()) == ["bob"]


def test_a_fill_keeps_what_came_online_and_may_be_done_again(store: BackedUserStore) -> None:
    store.apply([event(item="b", hours=40), event(item="a", hours=1, kind="like")])
    states = [*store._weighing.states([event(), event(item="c", hours=2), event(user="bob")])]
    assert store.fill(states[:1]) == {"users": 1, "changed": 1}
    assert store.fill(states) == {"users": 2, "changed": 1}
    assert store.fill(states) == {"users": 2, "changed": 0}
    state = store.get("ann")
    assert state is not None
    assert [(meeting.item, meeting.event) for meeting in state.meetings] == [
        ("a", "like"),
        ("c", "view"),
        ("b", "view"),
    ]


def test_a_user_may_come_in_parts_of_one_fill(store: BackedUserStore) -> None:
    parts = [state for hours in range(3) for state in store._weighing.states([event(item=f"i{hours}", hours=hours)])]
    assert store.fill(parts) == {"users": 1, "changed": 1}
    assert items(store) == ["i0", "i1", "i2"]


def test_old_meetings_expire(store: BackedUserStore) -> None:
    store.apply([event(), event(item="b", hours=30)])
    assert store.expire(at(24)) == 1
    assert items(store) == ["b"]
    assert store.expire(at(24)) == 0


def test_another_key_is_refused(place: Place, store: BackedUserStore) -> None:
    store.apply([event()])
    other = store_at(place, key_id="rotated")
    with pytest.raises(ConfigError, match="written with the pseudonym key key, and the key here is rotated"):
        other.get("ann")
    with pytest.raises(ConfigError, match="every user would become two"):
        other.fill([])
    other.clear()
    other.apply([event()])
    assert other.about()["key_id"] == "rotated"


def test_a_store_cleared_for_another_key_is_noticed(place: Place, store: BackedUserStore) -> None:
    store.apply([event()])
    rotated = store_at(place, key_id="rotated")
    rotated.clear()
    rotated.apply([event()])
    store._checked -= 61
    with pytest.raises(ConfigError, match="rotated"):
        store.apply([event()])


def test_states_of_other_settings_must_be_filled_again(place: Place, store: BackedUserStore) -> None:
    store.apply([event(kind="rating", value=2.0), event(item="b", kind="rating", value=4.0)])
    other = store_at(place, min_rating=3.0)
    for call in (lambda: other.get("ann"), lambda: other.apply([event()])):
        with pytest.raises(StorageError, match=r"other settings of event_weights, min_rating .* fill them again"):
            call()
    other.fill([*other._weighing.states([event(item="c")])])
    other.finish_fill()
    state = other.get("ann")
    assert state is not None
    assert [(meeting.item, meeting.positive) for meeting in state.meetings] == [("a", False), ("b", True), ("c", True)]
    again = store_at(place)  # the settings of before are others now
    with pytest.raises(StorageError, match="fill them again"):
        again.get("ann")


def test_settings_that_do_not_change_meetings_are_no_other_settings(place: Place, store: BackedUserStore) -> None:
    store.apply([event()])
    assert store_at(place, fit_days=3, value_weight="log", text_dim=4).get("ann") == store.get("ann")


def test_facts_about_the_store_are_kept_but_not_its_own(store: BackedUserStore) -> None:
    store.describe("fill", "half")
    store.describe("fill", "done")
    assert store.about()["fill"] == "done"
    with pytest.raises(ValueError, match="kept by the store itself"):
        store.describe("key_id", "mine")


def test_deployments_share_a_server_and_no_user(place: Place, store: BackedUserStore) -> None:
    if place[0] == "sqlite":
        pytest.skip("a file belongs to one storage root")
    other = store_at((place[0], place[1], place[2] + "-other"))
    other.apply([event()])
    assert not store.holds("ann")
    store.clear()
    assert other.count() == 1
    other.clear()


def test_only_what_is_unchanged_is_swapped(place: Place) -> None:
    backend = backend_at(place)
    assert backend.swap([Swap("ann", None, b"1"), Swap("bob", b"0", b"1")]) == ["bob"]
    assert backend.swap([Swap("ann", None, b"2"), Swap("bob", None, b"2")]) == ["ann"]
    assert backend.swap([Swap("ann", b"2", b"3")]) == ["ann"]
    assert backend.swap([Swap("ann", b"1", b"3")]) == []
    assert backend.read(["ann", "bob", "cy"]) == {"ann": b"3", "bob": b"2"}
    backend.close()


def test_the_faster_writer_loses_nothing_either(place: Place, store: BackedUserStore) -> None:
    store.apply([event()])
    rival = store_at(place)

    class Slow(Weighing):
        def states_of(self, interactions):  # type: ignore[no-untyped-def]
            yield from super().states_of(interactions)

    backend, swaps = backend_at(place), []
    swap = backend.swap

    def late(wanted):  # type: ignore[no-untyped-def]
        swaps.append(len(wanted))
        if len(swaps) == 1:
            rival.apply([event(item="b", hours=1)])
        return swap(wanted)

    backend.swap = late  # type: ignore[method-assign]
    BackedUserStore(backend, store._weighing, "key", LIMITS).apply([event(item="c", hours=2)])
    assert items(store) == ["a", "b", "c"]
    assert swaps == [1, 1]


def _replica(place: Place, number: int, n: int) -> None:
    store = store_at(place)
    for turn in range(n):
        store.apply([event(item=f"i{number}-{turn}", hours=turn % 7), event(user="bob", item=f"i{number}-{turn}")])


@pytest.mark.slow
def test_two_processes_racing_on_one_user_lose_nothing(place: Place, store: BackedUserStore) -> None:
    context = multiprocessing.get_context("spawn")
    replicas = [context.Process(target=_replica, args=(place, number, 40), daemon=True) for number in range(2)]
    for each in replicas:
        each.start()
    for each in replicas:
        each.join(120)
    assert [each.exitcode for each in replicas] == [0, 0]
    expected = {f"i{number}-{turn}" for number in range(2) for turn in range(40)}
    assert set(items(store)) == expected
    assert set(items(store, "bob")) == expected


def test_threads_racing_on_one_user_lose_nothing(place: Place, store: BackedUserStore) -> None:
    store.count()
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(10):
                store.apply([event(item=f"i{number}-{turn}", hours=turn)])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not errors
    assert len(items(store)) == 40


def test_a_crawler_is_kept_within_the_limits(place: Place) -> None:
    store = store_at(place, limits=Limits(5, 3))
    for hour in range(0, 240, 24):
        store.apply([event(item=f"i{hour // 24}", hours=hour)])
    state = store.get("ann")
    assert state is not None
    assert [meeting.item for meeting in state.meetings] == ["i5", "i6", "i7", "i8", "i9"]
    assert sorted(state.met) == ["i2", "i3", "i4"]
    assert all(before < after for before, after in pairwise(state.met[name] for name in sorted(state.met)))
    store.close()
