"""Lists within their deadline: waiting requests together, and what is ready already for those that wait too long."""

import asyncio
from dataclasses import dataclass
from datetime import datetime

from recsys.service.answers import RankedList, RecommendationAnswer
from recsys.service.batching import Batcher
from recsys.service.contract import Engine, Query
from recsys.service.metrics import Metrics
from recsys.service.requests import ListRequest, SessionEvent
from recsys.service.threads import Threads


@dataclass(frozen=True)
class Lists:
    """Answers queries through one batcher; `deadline_s` counts from when a query is asked."""

    engine: Engine
    batcher: Batcher[Query, RankedList]
    threads: Threads
    metrics: Metrics
    deadline_s: float

    async def answer(self, query: Query) -> RecommendationAnswer:
        """Return a query's list, the fallback's after the deadline; raise what the engine raised."""
        try:
            async with asyncio.timeout(self.deadline_s) as deadline:
                ranked = await self.batcher.ask(query)
        except TimeoutError:
            if not deadline.expired():  # the engine's own error
                raise
            ranked = await self.threads.run("fallback", self.engine.fallback, query, "deadline")
        if ranked.degraded:
            self.metrics.degraded(ranked.degraded)
        return RecommendationAnswer(
            items=ranked.items,
            bundle_version=ranked.bundle_version,
            request_id=query.request_id,
            experiment=ranked.experiment,
            degraded=ranked.degraded,
            profiling=ranked.profiling,
        )


def query_of(
    request_id: str, wanted: ListRequest, now: datetime, user_id: str | None, events: tuple[SessionEvent, ...] = ()
) -> Query:
    """Return what the engine is asked; without profiling, nothing of the person is in it."""
    time = wanted.context.time or now
    if wanted.profiling:
        return Query(request_id, time, user_id, events, wanted)
    impersonal = ListRequest.model_construct(
        k=wanted.k,
        context=wanted.context,
        filters=wanted.filters,
        exclude_ids=wanted.exclude_ids,
        rerank=wanted.rerank,
        explain=wanted.explain,
        profiling=False,
        demographics={},
        answers={},
    )
    return Query(request_id, time, None, (), impersonal)
