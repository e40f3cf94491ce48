"""Around every request: its id, its log line, its numbers, and no error that leaves as anything but a problem."""

import logging
import time
import traceback
import uuid
from dataclasses import dataclass
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recsys.service.bodies import ClientGoneError
from recsys.service.metrics import Metrics
from recsys.service.problems import MEDIA_TYPE, Problem, problem_of

TRACE: Final = "recsys.trace"
_UNMATCHED: Final = "unmatched"
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"})
_CLIENT_GONE: Final = 499  # as other servers log it; nobody receives it
_log = logging.getLogger("recsys.service")


@dataclass
class Trace:
    """What is known of a request while it is worked on; `route` is the template of its path, never the path."""

    request_id: str
    route: str = _UNMATCHED
    status: int = 0


class Guard:
    """ASGI middleware outside of everything else."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, then count and log it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        trace = scope[TRACE] = Trace(uuid.uuid4().hex)
        started = time.perf_counter()
        scope["path"] = scope.get("raw_path", scope["path"].encode()).decode("latin-1")  # an id may hold a slash

        async def traced(message: Message) -> None:
            if message["type"] == "http.response.start":
                trace.status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", trace.request_id.encode()),
                    (b"x-content-type-options", b"nosniff"),
                    (b"cache-control", b"no-store"),
                ]
            await send(message)

        with self._metrics.in_flight.track_inprogress():
            try:
                await self._app(scope, receive, traced)
            except ClientGoneError:
                trace.status = _CLIENT_GONE
            except Exception as error:  # whatever it is, its text must not get out
                await self._tell(error, trace, traced)
        self._record(trace, scope["method"], time.perf_counter() - started)

    async def _tell(self, error: Exception, trace: Trace, send: Send) -> None:
        problem = problem_of(error)
        if problem.status >= 500 and not isinstance(error, Problem):
            _log.error("%s failed in %s: %s", trace.request_id, trace.route, _where(error))
        if not trace.status:
            await send_problem(problem, send)

    def _record(self, trace: Trace, method: str, seconds: float) -> None:
        known = method if method in _METHODS else "other"
        self._metrics.request(trace.route, known, trace.status, seconds)
        _log.info("%s %s %d %.1f ms %s", known, trace.route, trace.status, seconds * 1e3, trace.request_id)


async def send_problem(problem: Problem, send: Send) -> None:
    """Answer with a problem."""
    body = problem.body()
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        *((name.encode(), value.encode()) for name, value in problem.headers.items()),
    ]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _where(error: BaseException) -> str:
    """Return the kinds and places of an error and its causes without their texts, which may hold ids."""
    told: list[str] = []
    current: BaseException | None = error
    while current is not None and len(told) < 5:
        frames = traceback.extract_tb(current.__traceback__)[-4:]
        places = " < ".join(f"{frame.filename}:{frame.lineno}" for frame in reversed(frames))
        told.append(f"{type(current).__name__} at {places or 'an unknown place'}")
        current = current.__cause__ or current.__context__
    return "; after ".join(told)
