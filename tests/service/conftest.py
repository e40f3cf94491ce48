import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from recsys.config import ServiceConfig
from recsys.errors import NotFoundError, RecsysError
from recsys.service import Engine, Query, create_app
from recsys.service.answers import (
    DegradedStep,
    EngineCounts,
    OnboardingQuestion,
    Parameter,
    Parameters,
    Questions,
    RankedItem,
    RankedList,
    Readiness,
    Receipt,
    Recorded,
    SimilarItem,
    SimilarItems,
    UserExport,
)
from recsys.service.requests import Consent, Event, ItemRecord, OnboardingRequest, UserRecord

if TYPE_CHECKING:  # the fixtures below import it where it is needed, as it imports the training rooms
    from recsys.serving import Champion
    from tests.service.deployments import Deployment

NOW = datetime(2026, 2, 1, 12, tzinfo=UTC)
EVENT = {
    "event_id": "e1",
    "user_id": "u1",
    "item_id": "i1",
    "event": "click",
    "timestamp": "2026-01-31T20:00:00Z",
}


class FakeEngine:
    """Answers at once from memory, unless it has a `delay_s`, waits for `gate`, or has an `error` to raise."""

    def __init__(self, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self.gate: threading.Event | None = None
        self.error: Exception | None = None
        self.error_for: dict[str, RecsysError] = {}
        self.ready = Readiness(True, None, "b1")
        self.batches: list[list[Query]] = []
        self.fallbacks: list[tuple[Query, DegradedStep]] = []
        self.events: dict[str, Event] = {}
        self.records: list[tuple[Any, ...]] = []
        self.closed = 0

    def _work(self) -> None:
        if self.gate is not None:
            self.gate.wait(10)
        time.sleep(self.delay_s)
        if self.error is not None:
            raise self.error

    def recommend_many(self, queries: Sequence[Query]) -> Sequence[RankedList | RecsysError]:
        self.batches.append(list(queries))
        self._work()
        return [self.error_for.get(query.user_id or "") or _list(query) for query in queries]

    def fallback(self, query: Query, step: DegradedStep) -> RankedList:
        self.fallbacks.append((query, step))
        return RankedList((RankedItem("top", "Top", 0.0, 1, None, "fallback", 1.0),), "b1", False, None, step)

    def similar(self, item_id: str, k: int) -> SimilarItems:
        self._work()
        if item_id == "unknown":
            raise NotFoundError(f"no item {item_id}")
        return SimilarItems(tuple(SimilarItem(f"{item_id}~{n}", "", 1.0 / n, n) for n in range(1, k + 1)), "b1")

    def questions(self, request: OnboardingRequest) -> Questions:
        self.records.append(("questions", request))
        return Questions(tuple(OnboardingQuestion(f"q{n}", "", 0.5) for n in range(request.n)))

    def record_many(self, batches: Sequence[Sequence[Event]]) -> Sequence[Recorded | RecsysError]:
        self._work()
        return [self._record(batch) for batch in batches]

    def _record(self, batch: Sequence[Event]) -> Recorded:
        before = len(self.events)
        for event in batch:
            self.events.setdefault(event.event_id, event)
        accepted = len(self.events) - before
        return Recorded(accepted, len(batch) - accepted)

    def record_answers(self, request: OnboardingRequest, time: datetime) -> None:
        self.records.append(("answers", request, time))

    def put_item(self, item_id: str, item: ItemRecord) -> None:
        self._work()
        self.records.append(("item", item_id, item))

    def delete_item(self, item_id: str) -> None:
        self.records.append(("no item", item_id))

    def put_user(self, user_id: str, user: UserRecord) -> None:
        self.records.append(("user", user_id, user))

    def put_consent(self, user_id: str, consent: Consent) -> None:
        self.records.append(("consent", user_id, consent))

    def erase_user(self, user_id: str) -> Receipt:
        self.records.append(("erase", user_id))
        return Receipt("r1")

    def export_user(self, user_id: str) -> UserExport:
        if user_id == "unknown":
            raise NotFoundError("nobody")
        return UserExport(NOW, {"interactions": [{"user_id": user_id, "value": None}]})

    def parameters(self) -> Parameters:
        return Parameters((Parameter("history", "What you watched", "Erase it"),), "Ask with profiling false")

    def readiness(self) -> Readiness:
        return self.ready

    def counts(self) -> EngineCounts:
        return EngineCounts(2, 1, {"lists": 7})

    def close(self) -> None:
        self.closed += 1


def _list(query: Query) -> RankedList:
    reason = "because" if query.wanted.explain else None
    items = tuple(
        RankedItem(f"i{n}", f"Title {n}", 1.0 / n, n, reason, "model", 1.0) for n in range(1, query.wanted.k + 1)
    )
    return RankedList(items, "b1", query.wanted.profiling)


def client_of(engine: Engine, **settings: Any) -> TestClient:
    """Return a client of an open service, called by a local name, with no deadline that a busy machine would miss."""
    app = create_app(engine, ServiceConfig(**({"deadline_ms": 10_000} | settings)), clock=lambda: NOW)
    return TestClient(app, base_url="http://localhost", raise_server_exceptions=False)


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def client(engine: FakeEngine) -> Iterator[TestClient]:
    with client_of(engine) as client:
        yield client


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> "tuple[Path, list[Champion]]":
    from tests.service.deployments import build

    root = tmp_path_factory.mktemp("built") / "state"
    return root, build(root)


@pytest.fixture
def deployment(built: "tuple[Path, list[Champion]]", tmp_path: Path) -> "Deployment":
    from recsys.config import Config
    from recsys.serving import Champion, write_champion
    from tests.service.deployments import Deployment

    root, champions = built
    shutil.copytree(root, tmp_path / "state")

    def moved(champion: Champion) -> Champion:
        return Champion.model_validate_json(champion.model_dump_json().replace(str(root), str(tmp_path / "state")))

    first, second = (moved(each) for each in champions)
    config = Config(storage=str(tmp_path / "state"))
    write_champion(config.storage, first)
    return Deployment(config, (first, second))
