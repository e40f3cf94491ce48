from datetime import UTC, datetime
from typing import Any

import pytest
from starlette.testclient import TestClient

from recsys.config import RerankConfig
from recsys.service.operations import OPERATIONS, Operation
from tests.service.conftest import EVENT, NOW, FakeEngine, client_of

DESCRIBED = [operation for operation in OPERATIONS if operation.described]


def _send(client: TestClient, operation: Operation, description: dict[str, Any]) -> Any:
    """Send an operation's example as its description gives it."""
    described = description["paths"][operation.path][operation.method.lower()]
    path, query = operation.path, {}
    for parameter in described["parameters"]:
        if parameter["in"] == "path":
            path = path.replace("{id}", parameter["example"])
        elif isinstance(parameter["example"], dict):
            query |= parameter["example"]
        else:
            query[parameter["name"]] = parameter["example"]
    body = described.get("requestBody")
    json = body["content"]["application/json"]["example"] if body else None
    return client.request(operation.method, path, params=query or None, json=json)


@pytest.mark.parametrize("operation", DESCRIBED, ids=lambda operation: operation.operation_id)
def test_every_example_works_and_answers_the_described_status(client: TestClient, operation: Operation) -> None:
    response = _send(client, operation, client.get("/openapi.json").json())
    assert response.status_code == operation.status, response.text
    assert response.headers["x-request-id"]


def test_a_user_gets_a_list(client: TestClient, engine: FakeEngine) -> None:
    response = client.post("/v1/recommendations", json={"user_id": "u1", "k": 2, "explain": True})
    assert response.json() == {
        "items": [
            {"item_id": "i1", "title": "Title 1", "score": 1.0, "rank": 1, "reason": "because", "source": "model",
             "propensity": 1.0},
            {"item_id": "i2", "title": "Title 2", "score": 0.5, "rank": 2, "reason": "because", "source": "model",
             "propensity": 1.0},
        ],
        "bundle_version": "b1",
        "request_id": response.headers["x-request-id"],
        "experiment": None,
        "degraded": None,
        "profiling": True,
    }  # fmt: skip
    query = engine.batches[0][0]
    assert (query.user_id, query.time, query.events) == ("u1", NOW, ())
    assert query.request_id == response.headers["x-request-id"]


def test_everything_a_request_may_say_reaches_the_engine(client: TestClient, engine: FakeEngine) -> None:
    body = {
        "user_id": "u1",
        "context": {"device": "tv", "country": "PT", "time": "2026-01-31T21:00:00+01:00"},
        "demographics": {"age": "25-34"},
        "filters": {"categories": ["a", "b"], "languages": ["en"], "creators": ["c"], "max_age_days": 7},
        "exclude_ids": ["x"],
        "rerank": {"method": "mmr", "diversity": 0.5},
        "answers": {"i1": "like", "i2": "unknown"},
    }
    assert client.post("/v1/recommendations", json=body).status_code == 200
    query = engine.batches[0][0]
    wanted = query.wanted
    assert query.time == datetime(2026, 1, 31, 20, tzinfo=UTC)
    assert (wanted.k, wanted.demographics, wanted.exclude_ids) == (10, {"age": "25-34"}, ("x",))
    assert wanted.filters.categories == ("a", "b")
    assert isinstance(wanted.rerank, RerankConfig)
    assert wanted.rerank.diversity == 0.5
    assert wanted.answers == {"i1": "like", "i2": "unknown"}


def test_without_profiling_nothing_of_the_person_reaches_the_engine(client: TestClient, engine: FakeEngine) -> None:
    person = {"user_id": "u1", "demographics": {"age": "25-34"}, "answers": {"i1": "like"}}
    kept = {"k": 3, "filters": {"languages": ["en"]}, "exclude_ids": ["x"], "context": {"device": "tv"}}
    answer = client.post("/v1/recommendations", json={"profiling": False, **person, **kept}).json()
    events = [{"item_id": "i1", "event": "view", "time": "2026-01-31T20:00:00Z"}]
    client.post("/v1/sessions/recommendations", json={"profiling": False, "events": events})
    assert answer["profiling"] is False
    first, second = engine.batches[0][0], engine.batches[1][0]
    assert first.user_id is None
    assert (first.wanted.demographics, first.wanted.answers, first.wanted.profiling) == ({}, {}, False)
    assert (first.wanted.k, first.wanted.exclude_ids, first.wanted.context.device) == (3, ("x",), "tv")
    assert first.wanted.filters.languages == ("en",)
    assert not hasattr(first.wanted, "user_id")
    assert second.events == ()
    assert not hasattr(second.wanted, "events")


def test_a_visitor_brings_the_events_of_the_session(client: TestClient, engine: FakeEngine) -> None:
    events = [{"item_id": "i1", "event": "view", "time": "2026-01-31T20:00:00Z"}]
    assert client.post("/v1/sessions/recommendations", json={"events": events}).status_code == 200
    query = engine.batches[0][0]
    assert query.user_id is None
    assert [event.item_id for event in query.events] == ["i1"]


def test_a_visitor_has_no_user_id(client: TestClient) -> None:
    assert client.post("/v1/sessions/recommendations", json={"user_id": "u1"}).status_code == 422


def test_an_event_is_recorded_once(client: TestClient) -> None:
    assert client.post("/v1/events", json=EVENT).json() == {"accepted": 1, "repeated": 0}
    second = {"events": [EVENT, EVENT | {"event_id": "e2"}]}
    assert client.post("/v1/events", json=second).json() == {"accepted": 1, "repeated": 1}


@pytest.mark.parametrize("n", [0, 1_001])
def test_a_batch_has_1_to_1000_events(client: TestClient, engine: FakeEngine, n: int) -> None:
    events = [EVENT | {"event_id": str(place)} for place in range(n)]
    assert client.post("/v1/events", json={"events": events}).status_code == 422
    assert not engine.events


def test_one_wrong_event_refuses_its_batch(client: TestClient, engine: FakeEngine) -> None:
    response = client.post("/v1/events", json={"events": [EVENT, EVENT | {"event": "clack"}]})
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "/events/1/event"
    assert not engine.events


def test_catalogue_and_users_are_written(client: TestClient, engine: FakeEngine) -> None:
    client.put("/v1/items/i1", json={"title": "T", "categories": ["a"], "expires_at": "2026-03-01T00:00:00Z"})
    client.delete("/v1/items/i1")
    client.put("/v1/users/u1", json={"demographics": {"age": "25-34"}})
    client.put("/v1/users/u1/consent", json={"personalization": True, "analytics": False, "do_not_sell": True})
    assert client.delete("/v1/users/u1").json() == {"receipt_id": "r1"}
    assert [record[:2] for record in engine.records] == [
        ("item", "i1"), ("no item", "i1"), ("user", "u1"), ("consent", "u1"), ("erase", "u1"),
    ]  # fmt: skip
    assert engine.records[0][2].categories == ("a",)
    assert engine.records[3][2].personalization is True


def test_consent_must_be_said_whole(client: TestClient) -> None:
    assert client.put("/v1/users/u1/consent", json={"personalization": True}).status_code == 422


def test_an_export_is_json(client: TestClient) -> None:
    export = client.get("/v1/users/u1/export").json()
    assert export["tables"] == {"interactions": [{"user_id": "u1", "value": None}]}
    assert client.get("/v1/users/unknown/export").status_code == 404


def test_questions_follow_demographics_of_the_query(client: TestClient, engine: FakeEngine) -> None:
    assert len(client.get("/v1/onboarding?n=3&age=25-34&favourite%20colour=blue").json()["questions"]) == 3
    assert engine.records[0][1].demographics == {"age": "25-34", "favourite colour": "blue"}
    assert len(client.get("/v1/onboarding").json()["questions"]) == 5


def test_answers_are_stored_for_users_alone(client: TestClient, engine: FakeEngine) -> None:
    client.post("/v1/onboarding", json={"answers": {"i1": "like"}})
    client.post("/v1/onboarding", json={"user_id": "u1"})
    client.post("/v1/onboarding", json={"answers": {"i1": "like"}, "user_id": "u1"})
    stored = [record for record in engine.records if record[0] == "answers"]
    assert [(record[1].user_id, record[2]) for record in stored] == [("u1", NOW)]


def test_similar_items_are_as_many_as_wanted(client: TestClient) -> None:
    assert len(client.get("/v1/items/i1/similar").json()["items"]) == 10
    assert len(client.get("/v1/items/i1/similar?k=200").json()["items"]) == 200
    assert client.get("/v1/items/unknown/similar").status_code == 404


def test_readiness_has_a_reason_and_tells_a_refused_swap(engine: FakeEngine) -> None:
    from recsys.service.answers import Readiness

    with client_of(engine) as client:
        engine.ready = Readiness(True, None, "b1", "b2 has no index")
        assert client.get("/readyz").json()["refused_swap"] == "b2 has no index"
        engine.ready = Readiness(False, "The bundle is being read.")
        response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["detail"] == "The bundle is being read."
    assert response.headers["retry-after"] == "1"


def test_head_answers_like_get_without_a_body(client: TestClient) -> None:
    response = client.head("/healthz")
    assert response.status_code == 200
    assert response.content == b""


def test_the_engine_is_closed_once(engine: FakeEngine) -> None:
    with client_of(engine) as client:
        client.get("/healthz")
        assert engine.closed == 0
    assert engine.closed == 1
