"""What each operation does: a checked call in, a record of `recsys.service.answers` out."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

from pydantic import ValidationError

from recsys.service.answers import (
    Health,
    Parameters,
    Questions,
    Readiness,
    Receipt,
    RecommendationAnswer,
    Recorded,
    SimilarItems,
    Stored,
    UserExport,
)
from recsys.service.batching import Batcher
from recsys.service.contract import Engine
from recsys.service.fields import Strict
from recsys.service.lists import Lists, query_of
from recsys.service.metrics import MEDIA_TYPE, Metrics
from recsys.service.problems import invalid_parameter, unavailable
from recsys.service.requests import (
    Consent,
    Event,
    EventBatch,
    ItemRecord,
    OnboardingRequest,
    RecommendationRequest,
    SessionRequest,
    UserRecord,
)
from recsys.service.threads import Threads

_WHOLE: Final = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True)
class Call:
    """One request that was let in: its id, the id in its path, its query and its body as the operation's model."""

    request_id: str
    path_id: str
    query: Mapping[str, str]
    body: Strict | None


@dataclass(frozen=True)
class Page:
    """An answer that is no JSON record."""

    content: bytes
    media_type: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


Handler = Callable[[Call], Awaitable[Any]]  # Any: a record of answers, or a Page


@dataclass(frozen=True)
class Handlers:
    """The operations by their ids, over one engine. `clock` returns the time of now in UTC."""

    engine: Engine
    lists: Lists
    events: Batcher[Sequence[Event], Recorded]
    threads: Threads
    metrics_of: Metrics
    clock: Callable[[], datetime]

    async def recommend(self, call: Call) -> RecommendationAnswer:
        """Recommend to a user."""
        wanted = cast(RecommendationRequest, call.body)
        return await self.lists.answer(query_of(call.request_id, wanted, self.clock(), wanted.user_id))

    async def recommend_session(self, call: Call) -> RecommendationAnswer:
        """Recommend to an anonymous visitor."""
        wanted = cast(SessionRequest, call.body)
        return await self.lists.answer(query_of(call.request_id, wanted, self.clock(), None, wanted.events))

    async def similar(self, call: Call) -> SimilarItems:
        """List items like one."""
        k = _whole(call.query, "k", 10, 200)
        return await self.threads.run("lists", self.engine.similar, call.path_id, k)

    async def record(self, call: Call) -> Recorded:
        """Record events."""
        events = call.body.events if isinstance(call.body, EventBatch) else (cast(Event, call.body),)
        recorded = await self.events.ask(events)
        self.metrics_of.recorded(recorded)
        return recorded

    async def put_item(self, call: Call) -> Stored:
        """Add or replace an item."""
        await self.threads.run("writes", self.engine.put_item, call.path_id, cast(ItemRecord, call.body))
        return Stored("stored")

    async def delete_item(self, call: Call) -> Stored:
        """Take an item out."""
        await self.threads.run("writes", self.engine.delete_item, call.path_id)
        return Stored("removed")

    async def put_user(self, call: Call) -> Stored:
        """Add a user or replace demographics."""
        await self.threads.run("writes", self.engine.put_user, call.path_id, cast(UserRecord, call.body))
        return Stored("stored")

    async def put_consent(self, call: Call) -> Stored:
        """Replace consent."""
        await self.threads.run("writes", self.engine.put_consent, call.path_id, cast(Consent, call.body))
        return Stored("stored")

    async def erase_user(self, call: Call) -> Receipt:
        """Begin an erasure."""
        return await self.threads.run("writes", self.engine.erase_user, call.path_id)

    async def export_user(self, call: Call) -> UserExport:
        """Export a user's rows."""
        return await self.threads.run("writes", self.engine.export_user, call.path_id)

    async def first_questions(self, call: Call) -> Questions:
        """Ask a newcomer of some demographics first."""
        n = _whole(call.query, "n", 5, 50)
        demographics = {name: label for name, label in call.query.items() if name != "n"}
        try:
            request = OnboardingRequest(demographics=demographics, n=n)
        except ValidationError as error:
            raise invalid_parameter("demographics", error.errors(include_url=False)[0]["msg"]) from None
        return await self.threads.run("lists", self.engine.questions, request)

    async def next_questions(self, call: Call) -> Questions:
        """Take answers, then ask on."""
        request = cast(OnboardingRequest, call.body)
        questions = await self.threads.run("lists", self.engine.questions, request)
        if request.user_id is not None and request.answers:
            await self.threads.run("writes", self.engine.record_answers, request, self.clock())
        return questions

    async def parameters(self, _: Call) -> Parameters:
        """Return the main parameters."""
        return self.engine.parameters()

    async def healthz(self, _: Call) -> Health:
        """Answer at once."""
        return Health()

    async def readyz(self, _: Call) -> Readiness:
        """Return readiness, or raise why there is none."""
        readiness = self.engine.readiness()
        if readiness.ready:
            return readiness
        told = [readiness.reason or "The engine is not ready.", readiness.refused_swap]
        raise unavailable(" ".join(each for each in told if each))

    async def metrics(self, _: Call) -> Page:
        """Return the metrics."""
        return Page(self.metrics_of.text(), MEDIA_TYPE)


def _whole(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = query.get(name, str(default))
    if _WHOLE.fullmatch(text) is None or int(text) > most:
        raise invalid_parameter(name, f"must be a whole number from 1 to {most}")
    return int(text)


def handler_of(handlers: Handlers, operation_id: str) -> Handler:
    """Return the handler of an operation; a missing one is an AttributeError when the app is made."""
    return cast(Handler, getattr(handlers, operation_id))
