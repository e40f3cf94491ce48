"""The service as one ASGI application: an engine, settings and keys in, routes out."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

import orjson
from fastapi import FastAPI
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from recsys.config import ServiceConfig
from recsys.errors import NotFoundError, StorageError
from recsys.service.access import Access
from recsys.service.answers import RankedList, Recorded
from recsys.service.batching import Batcher
from recsys.service.bodies import BodyReader
from recsys.service.contract import Engine, Query
from recsys.service.demo_page import read_files, start_of
from recsys.service.docs_page import content_security_policy, page_of
from recsys.service.endpoint import Endpoint, Shared, Slots
from recsys.service.guard import Guard
from recsys.service.handlers import Call, Handler, Handlers, Page, handler_of
from recsys.service.keys import Keyring
from recsys.service.lists import Lists
from recsys.service.metrics import Metrics
from recsys.service.openapi import describe
from recsys.service.operations import OPERATIONS, Operation
from recsys.service.problems import Problem
from recsys.service.requests import Event
from recsys.service.threads import Threads

ReadKeys = Callable[[], Keyring | None]
_MOST_EVENTS: Final = 4_000  # that are made durable in one go
_log = logging.getLogger("recsys.service")


def create_app(
    engine: Engine,
    settings: ServiceConfig | None = None,
    keys: ReadKeys | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> FastAPI:
    """Return the application over an engine, which is closed when the application ends.

    `keys` reads the API keys, at once and then every `keys_refresh_s`; without it, or when it returns None at first,
    every request that calls the service by a local name may do everything. FastAPI holds the routes and the life cycle;
    bodies are validated from their bytes by pydantic-core, as FastAPI's own parsing takes repeated keys and NaN.
    """
    settings = settings or ServiceConfig()
    access = Access(keys() if keys else None)
    threads, metrics = Threads(), Metrics(engine.counts)
    lists: Batcher[Query, RankedList] = Batcher(
        engine.recommend_many, threads.by_work["lists"], settings.max_batch, watch=metrics.batch
    )
    events: Batcher[Sequence[Event], Recorded] = Batcher(
        engine.record_many, threads.by_work["writes"], _MOST_EVENTS, weight=len
    )
    handlers = Handlers(
        engine,
        Lists(engine, lists, threads, metrics, settings.deadline_ms / 1e3),
        events,
        threads,
        metrics,
        clock,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        refreshing = asyncio.create_task(_refresh(access, keys, settings.keys_refresh_s)) if keys else None
        yield
        if refreshing:
            refreshing.cancel()
        threads.close()
        engine.close()

    app = FastAPI(title="recsys", openapi_url=None, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.openapi_schema = describe()
    shared = Shared(settings, access, BodyReader(settings), Slots(settings.max_concurrent))
    app.router.redirect_slashes = False
    app.router.default = _not_found
    app.router.routes.extend(_routes(handlers, _pages(app.openapi_schema), shared))
    app.add_middleware(Guard, metrics=metrics)
    return app


def _routes(handlers: Handlers, pages: dict[str, Handler], shared: Shared) -> list[Route]:
    by_path: dict[str, dict[str, tuple[Operation, Handler]]] = {}
    for operation in OPERATIONS:
        handler = pages.get(operation.operation_id) or handler_of(handlers, operation.operation_id)
        by_path.setdefault(operation.path, {})[operation.method] = (operation, handler)
    return [
        Route(path, Endpoint(path, operations, shared), include_in_schema=False) for path, operations in by_path.items()
    ]


def _pages(document: dict[str, object]) -> dict[str, Handler]:
    policy = ((b"content-security-policy", content_security_policy().encode()),)
    description = Page(orjson.dumps(document), "application/json")
    docs = Page(page_of(document), "text/html; charset=utf-8", policy)
    files = read_files()

    async def page_file(call: Call) -> Page:
        if call.path_id not in files:
            raise NotFoundError("the page has no such file")
        return files[call.path_id]

    return {
        "openapi": _always(description),
        "docs": _always(docs),
        "page": _always(start_of(files)),
        "page_file": page_file,
    }


def _always(page: Page) -> Handler:
    async def answer(_: Call) -> Page:
        return page

    return answer


async def _not_found(scope: Scope, _receive: Receive, _send: Send) -> None:
    if scope["type"] == "http":
        raise Problem(404, "no-route", "There is no such address; /docs lists all.")


async def _refresh(access: Access, keys: ReadKeys, every_s: float) -> None:
    """Read the keys again and again; those known go on to count while the file cannot be read."""
    while True:
        await asyncio.sleep(every_s)
        try:
            found = await asyncio.to_thread(keys)
            access.replace(Keyring({}) if found is None else found)  # a file that was removed held no key that counts
        except StorageError as error:
            _log.error("the API keys cannot be read again, those known go on to count: %s", error)
