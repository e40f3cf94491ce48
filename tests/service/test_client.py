import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from recsys.client import (
    AccessError,
    Client,
    RateError,
    RefusedRequestError,
    ServiceError,
    UnavailableError,
    UnknownIdError,
    event_of,
)
from recsys.errors import StorageError
from recsys.service.requests import (
    Consent,
    Context,
    ItemRecord,
    OnboardingRequest,
    RecommendationRequest,
    SessionEvent,
    SessionRequest,
    UserRecord,
)
from tests.service.conftest import NOW, FakeEngine


class Through(httpx.BaseTransport):
    """Sends a client's requests to an app, but a `failing` one first as often as it says."""

    def __init__(self, client: TestClient, *failing: httpx.Response | httpx.TransportError) -> None:
        self.client = client
        self.failing = list(failing)
        self.sent: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        if self.failing:
            failure = self.failing.pop(0)
            if isinstance(failure, httpx.TransportError):
                raise failure
            return failure
        return self.client.send(request)


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def calling(client: TestClient, waits: list[float]) -> Callable[..., tuple[Client, Through]]:
    def make(*failing: Any, **more: Any) -> tuple[Client, Through]:
        through = Through(client, *failing)
        return Client("http://localhost", transport=through, sleep=waits.append, **more), through

    return make


def _problem(status: int, **headers: str) -> httpx.Response:
    body = {"type": "t", "title": "T", "status": status, "detail": "D", "errors": []}
    return httpx.Response(status, content=json.dumps(body).encode(), headers=headers)


def test_every_call_is_typed(calling: Callable[..., tuple[Client, Through]], engine: FakeEngine) -> None:
    client, _ = calling()
    with client:
        wanted = RecommendationRequest(user_id="ü/1", k=2, context=Context(device="tv", time=NOW))
        assert [item.rank for item in client.recommend(wanted).items] == [1, 2]
        visit = SessionRequest(events=(SessionEvent(item_id="i", event="view", time=NOW),))
        assert client.recommend_session(visit).degraded is None
        assert len(client.similar("a/b?", 3).items) == 3
        assert client.record([event_of("u", "i", "click")]).accepted == 1
        client.put_item("a/b", ItemRecord(title="T", published_at=NOW))
        client.delete_item("a/b")
        client.put_user("u", UserRecord(demographics={"age": "25-34"}))
        client.put_consent("u", Consent(personalization=True, analytics=True, do_not_sell=False))
        assert client.erase_user("u").receipt_id == "r1"
        assert client.export_user("u").exported_at == NOW
        assert len(client.questions(OnboardingRequest(n=2, answers={"i": "like"})).questions) == 2
        assert client.parameters().without_profiling
        assert client.ready().bundle_version == "b1"
    assert engine.batches[0][0].user_id == "ü/1"
    assert engine.batches[0][0].time == NOW
    assert engine.records[0][1] == "a/b"


def test_events_have_ids_of_their_own() -> None:
    first, second = event_of("u", "i", "view"), event_of("u", "i", "view")
    assert first.event_id != second.event_id
    assert event_of("u", "i", "view", event_id="mine").event_id == "mine"
    time = datetime(2026, 1, 31, tzinfo=UTC)
    assert event_of("u", "i", "view", time, position=3).position == 3


def test_a_lost_answer_does_not_count_twice(
    calling: Callable[..., tuple[Client, Through]], client: TestClient, engine: FakeEngine
) -> None:
    caller, through = calling(httpx.ReadTimeout("lost"))
    event = event_of("u", "i", "click")
    client.post("/v1/events", content=event.model_dump_json(), headers={"content-type": "application/json"})
    assert caller.record([event]).repeated == 1
    assert len(through.sent) == 2
    assert len(engine.events) == 1


def test_busy_answers_are_tried_again_as_late_as_they_say(
    calling: Callable[..., tuple[Client, Through]], waits: list[float]
) -> None:
    client, through = calling(_problem(429, **{"retry-after": "7"}), _problem(503, **{"retry-after": "900"}))
    assert client.ready().ready
    assert waits == [7.0, 30.0]
    assert len(through.sent) == 3


def test_without_retry_after_waits_grow(calling: Callable[..., tuple[Client, Through]], waits: list[float]) -> None:
    client, _ = calling(_problem(503), _problem(503, **{"retry-after": "soon"}), httpx.ConnectError("x"))
    assert client.ready().ready
    assert [0.05 <= waits[0] <= 0.15, 0.1 <= waits[1] <= 0.3, 0.2 <= waits[2] <= 0.6] == [True] * 3


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (lambda: _problem(429), RateError),
        (lambda: _problem(503), UnavailableError),
        (lambda: httpx.ConnectError("http://secret@host"), UnavailableError),
    ],
)
def test_the_last_try_raises(
    calling: Callable[..., tuple[Client, Through]], failure: Callable[[], Any], kind: type[ServiceError]
) -> None:
    client, through = calling(failure(), failure(), failure(), retries=2)
    with pytest.raises(kind) as caught:
        client.ready()
    assert len(through.sent) == 3
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, RefusedRequestError), (401, AccessError), (403, AccessError), (404, UnknownIdError),
     (413, RefusedRequestError), (422, RefusedRequestError), (500, ServiceError)],
)  # fmt: skip
def test_other_errors_are_raised_at_once(
    calling: Callable[..., tuple[Client, Through]], waits: list[float], status: int, kind: type[ServiceError]
) -> None:
    client, _ = calling(_problem(status))
    with pytest.raises(ServiceError) as caught:
        client.ready()
    assert type(caught.value) is kind
    assert caught.value.problem is not None
    assert (caught.value.problem.status, waits) == (status, [])


def test_problems_of_the_service_arrive_whole(
    calling: Callable[..., tuple[Client, Through]], engine: FakeEngine
) -> None:
    client, _ = calling(retries=0)
    with pytest.raises(UnknownIdError):
        client.similar("unknown")
    with pytest.raises(RefusedRequestError, match="k: must be a whole number") as caught:
        client.similar("i", 0)
    assert caught.value.problem is not None
    assert caught.value.problem.errors[0].parameter == "k"
    engine.error = StorageError("x")
    with pytest.raises(UnavailableError):
        client.recommend(RecommendationRequest())


@pytest.mark.parametrize("content", [b"<html>", b"{}", b"[]"])
def test_what_is_no_answer_of_the_service_is_an_error(
    calling: Callable[..., tuple[Client, Through]], content: bytes
) -> None:
    for status in (200, 502):
        client, _ = calling(httpx.Response(status, content=content))
        with pytest.raises(ServiceError):
            client.similar("i")


def test_the_key_is_sent(calling: Callable[..., tuple[Client, Through]]) -> None:
    client, through = calling(key="rk_1_2")
    client.ready()
    assert through.sent[0].headers["authorization"] == "Bearer rk_1_2"
