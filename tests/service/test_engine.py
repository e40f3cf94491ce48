"""The live engine on a small bundle: what an event, a consent, an item and a swap change, and what is kept."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from recsys.config import Config
from recsys.data import load_key
from recsys.data.privacy import pseudonym_of
from recsys.errors import NotFoundError, RefusedError
from recsys.eventlog import open_log
from recsys.index import export_index
from recsys.service.contract import Query
from recsys.service.engine import LiveEngine, open_engine
from recsys.service.requests import (
    Consent,
    Event,
    Filters,
    ItemRecord,
    ListRequest,
    OnboardingRequest,
    SessionEvent,
    UserRecord,
)
from recsys.serving import write_champion
from recsys.storage import publish
from recsys.users import open_users
from tests.service.deployments import NOW, Deployment
from tests.serving.conftest import DIM, make_dataset

YES, NO = (Consent(personalization=each, analytics=each, do_not_sell=not each) for each in (True, False))


@pytest.fixture
def engine(deployment: Deployment) -> Iterator[LiveEngine]:
    engine = open_engine(deployment.config)
    yield engine
    engine.close()


def ask(engine: LiveEngine, user: str | None = None, *, at: datetime = NOW, **wanted: object):
    events = wanted.pop("events", ())
    query = Query(f"q{user}{at.timestamp()}", at, user, events, ListRequest.model_validate(wanted))  # type: ignore[arg-type]
    (found,) = engine.recommend_many([query])
    if isinstance(found, Exception):
        raise found
    return found


def ids(found: object) -> list[str]:
    return [item.item_id for item in found.items]  # type: ignore[attr-defined]


def liked(user: str, item: str, *, event_id: str = "", event: str = "like", at: datetime = NOW) -> Event:
    return Event.model_construct(
        event_id=event_id or f"{user}-{item}-{event}", user_id=user, item_id=item, event=event, timestamp=at,
        value=None, device=None, country=None, session_id=None, request_id=None, position=None, propensity=None,
    )  # fmt: skip


def agreed(engine: LiveEngine, user: str) -> None:
    engine.put_consent(user, YES)


def test_an_event_changes_the_next_list_of_every_replica(engine: LiveEngine, deployment: Deployment) -> None:
    agreed(engine, "ann")
    other = open_engine(deployment.config)
    before = ask(engine, "ann")
    assert before.profiling and before.bundle_version.startswith("1-") and len(before.items) == 10
    met = ids(before)[0]
    (found,) = engine.record_many([[liked("ann", met)]])
    assert (found.accepted, found.repeated) == (1, 0)  # type: ignore[union-attr]
    for each in (engine, other):
        after = ask(each, "ann", at=NOW + timedelta(seconds=5))
        assert met not in ids(after)
        assert [item.score for item in after.items] != [item.score for item in before.items if item.item_id != met][:10]
        assert {item.source for item in after.items} == {"model"}
    (again,) = engine.record_many([[liked("ann", met), liked("ann", met)]])
    assert (again.accepted, again.repeated) == (0, 2)  # type: ignore[union-attr]
    other.close()


def test_an_event_of_the_same_second_counts_at_once(engine: LiveEngine) -> None:
    agreed(engine, "ann")
    at = NOW + timedelta(milliseconds=400)
    before = ask(engine, "ann", at=at)
    met = ids(before)[0]
    engine.record_many([[liked("ann", met, at=at + timedelta(milliseconds=100))]])
    after = ask(engine, "ann", at=at + timedelta(milliseconds=200))
    assert met not in ids(after) and {item.source for item in after.items} == {"model"}


def test_what_was_met_by_a_clock_that_is_ahead_or_late_leaves_the_list_too(engine: LiveEngine) -> None:
    agreed(engine, "ann")
    for days in (0, 3, -400):
        met = ids(ask(engine, "ann"))[0]
        engine.record_many([[liked("ann", met, at=NOW + timedelta(days=days))]])
        assert met not in ids(ask(engine, "ann", k=100))


def test_who_has_not_agreed_gets_what_is_popular_and_nothing_is_kept(
    engine: LiveEngine, deployment: Deployment
) -> None:
    key = load_key(deployment.config)
    hidden = pseudonym_of("bob", key)
    impersonal = ask(engine, "bob")
    assert not impersonal.profiling and {item.source for item in impersonal.items} == {"fallback"}
    engine.record_many([[liked("bob", "i003")]])
    assert ids(ask(engine, "bob")) == ids(impersonal) == ids(ask(engine, "bob", profiling=False))
    log = open_log(deployment.config, key.key_id)
    assert sum(log.holds(hidden).values()) == 0
    agreed(engine, "bob")
    engine.record_many([[liked("bob", "i003")]])
    assert ask(engine, "bob").profiling
    assert "i003" not in ids(ask(engine, "bob", k=40, at=NOW + timedelta(seconds=1)))
    engine.put_consent("bob", NO)
    assert not ask(engine, "bob", at=NOW + timedelta(seconds=2)).profiling
    state = open_users(deployment.config).get(hidden)
    assert state is not None and not state.meetings
    engine.record_many([[liked("bob", "i006", at=NOW + timedelta(days=1))]])
    state = open_users(deployment.config).get(hidden)
    assert state is not None and not state.meetings


def test_removed_items_never_come_back_and_new_ones_come_at_once(engine: LiveEngine, deployment: Deployment) -> None:
    agreed(engine, "ann")
    other = open_engine(deployment.config)
    first = ids(ask(engine, "ann"))
    engine.delete_item(first[0])
    record = ItemRecord(title="Fresh", description="about topic1 and word1", categories=("topic1",), creator="c1",
                        language="en", published_at=NOW - timedelta(hours=1))  # fmt: skip
    engine.put_item("fresh", record)
    other._swapper.look()
    for each in (engine, other, open_engine(deployment.config)):
        every = ids(ask(each, "ann", k=100))
        assert first[0] not in every and "fresh" in every
        assert first[0] not in ids(ask(each, None, k=100, profiling=False))
        assert "fresh" in ids(ask(each, None, k=100, profiling=False))
    fresh = next(item for item in ask(engine, "ann", k=100, explain=True).items if item.item_id == "fresh")
    assert fresh.source == "cold_start" and fresh.title == "Fresh" and fresh.reason
    engine.record_many([[liked("ann", "fresh", event="view")]])
    assert "fresh" not in ids(ask(engine, "ann", k=100, at=NOW + timedelta(seconds=1)))
    assert "fresh" in ids(engine.similar(first[1], 50)) and first[0] not in ids(engine.similar(first[1], 50))
    engine.delete_item("fresh")
    assert "fresh" not in ids(ask(engine, None, k=100, profiling=False))
    with pytest.raises(NotFoundError):
        engine.similar("fresh", 5)
    engine.put_item(first[0], ItemRecord(title="Back"))
    assert first[0] in ids(ask(engine, "cy", k=100))
    engine.put_item(first[0], ItemRecord(title="Over", expires_at=NOW - timedelta(days=1)))
    assert first[0] not in ids(ask(engine, "cy", k=100))
    other.close()


def test_filters_are_part_of_retrieval(engine: LiveEngine) -> None:
    agreed(engine, "ann")
    dataset = engine._swapper.version.recommender.bundle.dataset  # type: ignore[union-attr]
    topic = {f"i{item:03d}" for item in range(40) if item % 5 == 2} - {"i037"}
    for user, profiling in (("ann", True), (None, False)):
        found = ask(engine, user, k=40, filters=Filters(categories=("topic2",)), profiling=profiling)
        assert set(ids(found)) == topic
        found = ask(engine, user, k=40, filters=Filters(creators=("c1",), languages=("en",)), profiling=profiling)
        assert set(ids(found)) <= {f"i{item:03d}" for item in range(40) if item % 4 == 1} and found.items
        assert not ask(engine, user, filters=Filters(categories=("nothing",)), profiling=profiling).items
        young = ask(engine, user, k=40, filters=Filters(max_age_days=25.0), profiling=profiling)
        published = dict(zip(dataset.items.ids.tolist(), dataset.items.published_at.tolist(), strict=True))
        assert young.items and all(NOW.timestamp() - published[item] <= 25 * 86_400 for item in ids(young))
        barred = ids(ask(engine, user, profiling=profiling))
        assert not set(barred) & set(ids(ask(engine, user, k=40, exclude_ids=tuple(barred), profiling=profiling)))
    for item in ids(ask(engine, "ann", k=100))[:-1]:
        engine.record_many([[liked("ann", item, event="view")]])
    assert len(ask(engine, "ann", k=10, at=NOW + timedelta(seconds=9)).items) == 1


def test_requests_answered_together_are_answered_as_alone(engine: LiveEngine) -> None:
    for user, item in (("ann", "i003"), ("bob", "i007"), ("cy", "i011")):
        agreed(engine, user)
        engine.record_many([[liked(user, item)]])
    queries = [Query(str(n), NOW + timedelta(hours=1), user, (), ListRequest(k=7))
               for n, user in enumerate(("ann", "bob", "cy", "nobody", None, "ann"))]  # fmt: skip
    together = engine.recommend_many(queries)
    for query, found in zip(queries, together, strict=True):
        (alone,) = engine.recommend_many([query])
        assert ids(found) == ids(alone)
        assert [item.score for item in found.items] == pytest.approx([item.score for item in alone.items], abs=1e-4)  # type: ignore[union-attr]


def test_a_swap_takes_over_the_champion_and_refuses_a_bad_bundle(engine: LiveEngine, deployment: Deployment) -> None:
    first, second = deployment.champions
    broken = second.model_copy(update={"digest": "broken", "bundle": f"{second.bundle}-copy"})
    shutil.copytree(second.bundle, broken.bundle)
    path = Path(broken.bundle, "towers", "query.onnx")
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    write_champion(deployment.config.storage, broken)
    for _ in range(2):
        engine._swapper.look()
    told = engine.readiness()
    assert told.ready and told.bundle_version == f"1-{first.digest[:8]}" and "query.onnx" in (told.refused_swap or "")
    assert (engine.counts().swaps, engine.counts().refused_swaps) == (1, 1)
    write_champion(deployment.config.storage, second)
    engine._swapper.look()
    assert engine.readiness().bundle_version == f"2-{second.digest[:8]}" and engine.readiness().refused_swap is None
    agreed(engine, "ann")
    assert ask(engine, "ann").bundle_version.startswith("2-")


def test_an_index_of_other_vectors_is_refused(engine: LiveEngine, deployment: Deployment, tmp_path: Path) -> None:
    ids_, vectors = make_dataset().items.ids, np.random.default_rng(2).normal(size=(40, DIM)).astype(np.float32)
    with publish(str(tmp_path / "indexes")) as index:
        export_index(Config().index, ids_, vectors, vectors[:5], index.path)
    other = deployment.champions[1].model_copy(update={"digest": "mixed", "index": str(tmp_path / "state" / "mixed")})
    shutil.copytree(index.uri, other.index)
    write_champion(deployment.config.storage, other)
    engine._swapper.look()
    assert "other vectors" in (engine.readiness().refused_swap or "") and engine.readiness().ready


def test_without_a_champion_nothing_is_ready_until_one_is_promoted(deployment: Deployment) -> None:
    pointer = Path(deployment.config.storage, "serving", "champion.json")
    pointer.unlink()
    engine = open_engine(deployment.config)
    assert not engine.readiness().ready and "promoted" in (engine.readiness().reason or "")
    assert ask(engine, "ann").degraded == "no_model"
    write_champion(deployment.config.storage, deployment.champions[0])
    engine._swapper.look()
    assert engine.readiness().ready and ask(engine, None).items
    engine.close()


def test_what_was_shown_is_logged_with_place_and_version(engine: LiveEngine, deployment: Deployment) -> None:
    key = load_key(deployment.config)
    agreed(engine, "ann")
    found = ask(engine, "ann", k=5)
    ask(engine, "ann", k=5, profiling=False)
    ask(engine, None, k=5)
    engine._exposures.close()
    log = open_log(deployment.config, key.key_id)
    shown = [each.row for each in log.events_of(pseudonym_of("ann", key))]
    assert [(each.event, each.item_id, each.position) for each in shown] == [
        ("impression", item, place) for place, item in enumerate(ids(found), 1)
    ]
    assert {each.bundle_version for each in shown} == {found.bundle_version} and len({e.request_id for e in shown}) == 1
    assert {each.propensity for each in shown} == {1.0}
    assert log.last() == 5 + 1  # and one row for the consent


def test_an_erased_user_is_nowhere_and_an_order_is_left(engine: LiveEngine, deployment: Deployment) -> None:
    key = load_key(deployment.config)
    agreed(engine, "ann")
    engine.put_user("ann", UserRecord(demographics={"age": "30", "gender": "f"}))
    engine.record_many([[liked("ann", "i003")]])
    ask(engine, "ann")
    told = engine.export_user("ann")
    assert [row["item_id"] for row in told.tables["meetings"]] == ["i003"]
    assert {row["name"]: row["value"] for row in told.tables["facts"]}["age"] == "25-34"
    receipt = engine.erase_user("ann")
    hidden = pseudonym_of("ann", key)
    assert not open_users(deployment.config).holds(hidden)
    assert sum(open_log(deployment.config, key.key_id).holds(hidden).values()) == 0
    with pytest.raises(NotFoundError):
        engine.export_user("ann")
    order = Path(deployment.config.storage, "erasure", "orders", f"{receipt.receipt_id}.json")
    assert json.loads(order.read_text())["user"] == hidden
    named = [str(path) for path in Path(deployment.config.storage).rglob("*") if path.is_file() and path != order
             and hidden.encode() in path.read_bytes()]  # fmt: skip
    assert named == []
    assert not ask(engine, "ann").profiling


def test_what_waits_to_be_logged_of_an_erased_user_is_dropped(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recsys.service.exposures._PAUSE_S", 60.0)
    engine, key = open_engine(deployment.config), load_key(deployment.config)
    for user in ("ann", "bob", "cy"):
        agreed(engine, user)
        assert ask(engine, user).items
    assert len(engine._exposures) == 30
    engine.erase_user("ann")
    engine.put_consent("bob", NO)
    engine.close()
    log = open_log(deployment.config, key.key_id)
    assert [log.holds(pseudonym_of(user, key))["events"] for user in ("ann", "bob", "cy")] == [0, 0, 10]


def test_a_late_answer_is_the_last_list_or_what_is_popular(engine: LiveEngine) -> None:
    agreed(engine, "ann")
    engine.put_item("fresh", ItemRecord(title="Fresh", description="about topic1", categories=("topic1",)))
    last = ask(engine, "ann", k=40)
    assert "fresh" in ids(last)
    for gone in ("fresh", ids(last)[0]):
        engine.delete_item(gone)
    query = Query("late", NOW, "ann", (), ListRequest(k=5, exclude_ids=(ids(last)[1],)))
    late = engine.fallback(query, "deadline")
    assert (
        ids(late) == ids(last)[2:7] and late.degraded == "deadline" and [i.rank for i in late.items] == [1, 2, 3, 4, 5]
    )
    other = engine.fallback(replace(query, user_id="unknown"), "overload")
    assert len(other.items) == 5 and not other.profiling and other.degraded == "overload"


def test_answers_make_a_taste_and_events(engine: LiveEngine, deployment: Deployment) -> None:
    asked = engine.questions(OnboardingRequest(n=3, demographics={"age": "30"})).questions
    assert len(asked) == 3
    with pytest.raises(RefusedError, match="1 of 1"):
        engine.questions(OnboardingRequest(answers={"nothing": "like"}))
    told = {asked[0].item_id: "like", asked[1].item_id: "dislike", asked[2].item_id: "unknown"}
    plain, taste = ask(engine, None), ask(engine, None, answers=told)
    assert ids(plain) != ids(taste) and not set(told) & set(ids(taste))
    agreed(engine, "new")
    for _ in range(2):
        engine.record_answers(OnboardingRequest.model_validate({"answers": told, "user_id": "new"}), NOW)
    state = open_users(deployment.config).get(pseudonym_of("new", load_key(deployment.config)))
    assert state is not None and sorted(each.event for each in state.meetings) == ["dislike", "like"]
    assert not {asked[0].item_id, asked[1].item_id} & set(ids(ask(engine, "new", k=40, at=NOW + timedelta(hours=1))))


def test_a_visitor_brings_the_session_along(engine: LiveEngine) -> None:
    seen = SessionEvent(item_id="i003", event="like", time=NOW - timedelta(minutes=5))
    found = ask(engine, None, events=(seen,), k=40)
    assert "i003" not in ids(found) and {item.source for item in found.items} == {"model"}
    assert ids(found) != ids(ask(engine, None, k=40))


def test_parameters_are_those_of_the_version(engine: LiveEngine) -> None:
    told = engine.parameters()
    names = [each.name for each in told.parameters]
    assert names[0].startswith("What you watched") and "What is popular" in names and "Who you are" in names
    assert "67%" in told.parameters[0].description and "without profiling" in told.without_profiling
    assert all(each.how_to_change for each in told.parameters)


def test_demographics_reach_a_newcomers_list(engine: LiveEngine) -> None:
    for user, age in (("young", "20"), ("old", "40")):
        agreed(engine, user)
        engine.put_user(user, UserRecord(demographics={"age": age}))
    assert ids(ask(engine, "young")) != ids(ask(engine, "old"))
    assert ids(ask(engine, "young")) == ids(ask(engine, None, demographics={"age": "18-24"}))
    with pytest.raises(RefusedError, match="whole years"):
        engine.put_user("young", UserRecord(demographics={"age": "a lot"}))
