import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from recsys.config import ServiceConfig
from recsys.errors import RefusedError, StorageError
from recsys.service import create_app
from recsys.service.batching import Batcher
from tests.service.conftest import NOW, FakeEngine

Scenario = Callable[[httpx.AsyncClient], Awaitable[Any]]


def _run(engine: FakeEngine, scenario: Scenario, **settings: Any) -> Any:
    """Run a scenario against an app that is called from one event loop, as a server calls it."""

    async def run() -> Any:
        app = create_app(engine, ServiceConfig(**({"deadline_ms": 10_000} | settings)), clock=lambda: NOW)
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
        ):
            try:
                return await scenario(client)
            finally:
                if engine.gate:
                    engine.gate.set()

    return asyncio.run(run())


async def _until(holds: Callable[[], object]) -> None:
    for _ in range(1_000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never held")


def _wanted(client: httpx.AsyncClient, user: str = "u") -> "asyncio.Task[httpx.Response]":
    return asyncio.create_task(client.post("/v1/recommendations", json={"user_id": user, "k": 1}))


def test_requests_that_wait_are_handed_over_together_and_none_waits_for_company() -> None:
    engine = FakeEngine()
    engine.gate = threading.Event()

    async def scenario(client: httpx.AsyncClient) -> list[httpx.Response]:
        first = _wanted(client, "u0")
        await _until(lambda: engine.batches)
        others = [_wanted(client, f"u{n}") for n in range(1, 6)]
        await asyncio.sleep(0.2)
        assert [len(batch) for batch in engine.batches] == [1]
        engine.gate.set()
        return await asyncio.gather(first, *others)

    responses = _run(engine, scenario, max_batch=4)
    assert [[query.user_id for query in batch] for batch in engine.batches] == [
        ["u0"],
        ["u1", "u2", "u3", "u4"],
        ["u5"],
    ]
    assert {response.status_code for response in responses} == {200}


def test_each_request_gets_its_own_answer_and_its_own_error() -> None:
    engine = FakeEngine()
    engine.gate = threading.Event()
    engine.error_for = {"u1": RefusedError("no such label"), "u2": StorageError("x")}

    async def scenario(client: httpx.AsyncClient) -> list[httpx.Response]:
        first = _wanted(client, "u0")
        await _until(lambda: engine.batches)
        others = [_wanted(client, f"u{n}") for n in range(1, 4)]
        await asyncio.sleep(0.1)
        engine.gate.set()
        return await asyncio.gather(first, *others)

    responses = _run(engine, scenario)
    assert [response.status_code for response in responses] == [200, 422, 503, 200]
    ids = [query.request_id for batch in engine.batches for query in batch]
    assert [response.headers["x-request-id"] for response in responses] == ids
    assert responses[3].json()["request_id"] == ids[3]


def test_health_answers_while_the_engine_and_the_disk_are_busy() -> None:
    engine = FakeEngine()
    engine.gate = threading.Event()

    async def scenario(client: httpx.AsyncClient) -> None:
        busy = [_wanted(client), asyncio.create_task(client.put("/v1/items/i", json={}))]
        await _until(lambda: engine.batches)
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/readyz")).status_code == 200
        assert (await client.get("/v1/parameters")).status_code == 200
        assert not any(task.done() for task in busy)
        engine.gate.set()
        assert {response.status_code for response in await asyncio.gather(*busy)} == {200}

    _run(engine, scenario)


def test_after_its_deadline_a_request_gets_what_is_ready() -> None:
    engine = FakeEngine()
    engine.gate = threading.Event()

    async def scenario(client: httpx.AsyncClient) -> None:
        running, waiting = _wanted(client, "u0"), None
        await _until(lambda: engine.batches)
        waiting = _wanted(client, "u1")
        for response in await asyncio.gather(running, waiting):
            assert response.status_code == 200
            assert response.json()["degraded"] == "deadline"
            assert response.json()["items"][0]["source"] == "fallback"
        engine.gate.set()
        response = await _wanted(client, "u2")
        assert response.json()["degraded"] is None
        metrics = (await client.get("/metrics")).text
        assert 'recsys_degraded_total{step="deadline"} 2.0' in metrics

    _run(engine, scenario, deadline_ms=300)
    assert [[query.user_id for query in batch] for batch in engine.batches] == [["u0"], ["u2"]]  # u1 waits no more
    assert [(query.user_id, step) for query, step in engine.fallbacks] == [("u0", "deadline"), ("u1", "deadline")]


def test_a_timeout_of_the_engines_own_is_no_deadline() -> None:
    engine = FakeEngine()
    engine.error = TimeoutError()

    async def scenario(client: httpx.AsyncClient) -> None:
        assert (await _wanted(client)).status_code == 500

    _run(engine, scenario)
    assert not engine.fallbacks


def test_beyond_the_limit_requests_are_turned_away() -> None:
    engine = FakeEngine()
    engine.gate = threading.Event()

    async def scenario(client: httpx.AsyncClient) -> None:
        busy = [_wanted(client) for _ in range(3)]
        await _until(lambda: engine.batches)
        await asyncio.sleep(0.1)
        response = await _wanted(client)
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/metrics")).status_code == 200
        engine.gate.set()
        assert {each.status_code for each in await asyncio.gather(*busy)} == {200}
        assert (await _wanted(client)).status_code == 200

    _run(engine, scenario, max_concurrent=3)


def test_failed_requests_give_their_slots_back() -> None:
    engine = FakeEngine()
    engine.error = ValueError()

    async def scenario(client: httpx.AsyncClient) -> None:
        for _ in range(5):
            assert (await _wanted(client)).status_code == 500

    _run(engine, scenario, max_concurrent=1)


def test_a_list_does_not_depend_on_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine()
    engine.gate = threading.Event()

    async def scenario(client: httpx.AsyncClient) -> None:
        for moved in (1e9, -1e9):
            monkeypatch.setattr(time, "time", lambda moved=moved: 1.7e9 + moved)
            task = _wanted(client)
            await asyncio.sleep(0.05)
            engine.gate.set()
            assert (await task).json()["degraded"] is None
            engine.gate.clear()

    _run(engine, scenario)


@pytest.mark.parametrize("answers", [[], [1, 2, 3]])
def test_an_engine_that_miscounts_is_an_error_for_each(answers: list[int]) -> None:
    async def run() -> None:
        with ThreadPoolExecutor(1) as thread:
            batcher: Batcher[int, int] = Batcher(lambda _: answers, thread, 10)
            with pytest.raises(RuntimeError, match="1 questions"):
                await batcher.ask(1)

    asyncio.run(run())


def test_weights_bound_a_batch_but_not_its_first_question() -> None:
    seen: list[list[int]] = []
    gate = threading.Event()

    def answer(questions: Any) -> Any:
        gate.wait(10)
        seen.append(list(questions))
        return questions

    async def run() -> None:
        with ThreadPoolExecutor(1) as thread:
            batcher: Batcher[int, int] = Batcher(answer, thread, 10, weight=lambda each: each)
            answers = [batcher.ask(weight) for weight in (1, 50, 6, 4, 1)]
            gate.set()
            assert await asyncio.gather(*answers) == [1, 50, 6, 4, 1]

    asyncio.run(run())
    assert seen == [[1], [50], [6, 4], [1]]


def test_one_who_leaves_a_running_batch_takes_nobody_along() -> None:
    gates = [threading.Event(), threading.Event()]
    calls: list[list[int]] = []

    def answer(questions: Any) -> Any:
        calls.append(list(questions))
        gates[len(calls) - 1].wait(10)
        return questions

    async def run() -> None:
        with ThreadPoolExecutor(1) as thread:
            batcher: Batcher[int, int] = Batcher(answer, thread, 10)
            first, leaving, staying = (batcher.ask(n) for n in (1, 2, 3))
            gates[0].set()
            await first
            await _until(lambda: len(calls) == 2)
            leaving.cancel()
            gates[1].set()
            assert await asyncio.wait_for(staying, 10) == 3

    asyncio.run(run())
    assert calls == [[1], [2, 3]]
