"""From an ASGI request to a handler and back: the operation's checks in one order, on routes without a framework."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

import orjson
from pydantic import TypeAdapter, ValidationError
from starlette.types import Receive, Scope, Send

from recsys.config import ServiceConfig
from recsys.service.access import Access
from recsys.service.bodies import BodyReader, check_media_type, parse
from recsys.service.fields import Id
from recsys.service.guard import TRACE, Trace
from recsys.service.handlers import Call, Handler, Page
from recsys.service.operations import Operation
from recsys.service.problems import Problem, invalid_parameter, unavailable

_ID: Final[TypeAdapter[str]] = TypeAdapter(Id)
_MOST_PARAMETERS: Final = 64


@dataclass
class Slots:
    """How many requests are worked on; those whose bodies still arrive are not counted."""

    most: int
    taken: int = 0

    def __enter__(self) -> None:
        """Take a slot; raise Problem 503 when there is none."""
        if self.taken >= self.most:
            raise unavailable("Too many requests are being worked on. Try again.")
        self.taken += 1

    def __exit__(self, *_: object) -> None:
        """Give it back."""
        self.taken -= 1


@dataclass(frozen=True)
class Shared:
    """What all endpoints check by."""

    settings: ServiceConfig
    access: Access
    reader: BodyReader
    slots: Slots


class Endpoint:
    """The operations on one path, as an ASGI application."""

    def __init__(self, path: str, operations: Mapping[str, tuple[Operation, Handler]], shared: Shared) -> None:
        self._path = path
        self._operations = operations
        self._shared = shared
        methods = [*operations, *(["HEAD"] if "GET" in operations else [])]
        self._allow = ", ".join(sorted(methods))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; raises Problem for whatever keeps it from being answered."""
        trace: Trace = scope[TRACE]
        trace.route = self._path
        method = scope["method"]
        found = self._operations.get("GET" if method == "HEAD" else method)
        if found is None:
            raise Problem(405, "method", f"Allowed here: {self._allow}.", headers={"allow": self._allow})
        operation, handle = found
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if operation.scope:
            self._shared.access.check(headers, operation.scope, operation.by_browser)
        call = Call(
            trace.request_id,
            _path_id(scope["path_params"]),
            _query(scope["query_string"], operation),
            await self._body(operation, headers, receive),
        )
        if operation.limited:
            with self._shared.slots:
                answer = await handle(call)
        else:
            answer = await handle(call)
        await _send(operation, answer, send, with_body=method != "HEAD")

    async def _body(self, operation: Operation, headers: Mapping[str, str], receive: Receive) -> Any:
        """Return the body as the operation's model, None where it takes none."""  # Any: a model of requests
        if not operation.bodies:
            return None
        check_media_type(headers)
        body = await self._shared.reader.read(headers, receive)
        return parse(body, operation.bodies, self._shared.settings.max_json_depth)


def _path_id(parameters: Mapping[str, str]) -> str:
    if "id" not in parameters:
        return ""
    try:
        return _ID.validate_python(unquote(parameters["id"], errors="strict"), strict=True)
    except UnicodeDecodeError:
        raise invalid_parameter("id", "must be percent-encoded UTF-8") from None
    except ValidationError as error:
        raise invalid_parameter("id", error.errors(include_url=False)[0]["msg"]) from None


def _query(text: bytes, operation: Operation) -> dict[str, str]:
    if not text:
        return {}
    known = {parameter.name: parameter for parameter in operation.parameters if parameter.place == "query"}
    is_open = any(parameter.is_open for parameter in known.values())
    try:
        pairs = parse_qsl(
            text.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_PARAMETERS, errors="strict"
        )
    except ValueError:  # UnicodeError is one
        raise invalid_parameter("query", f"must be at most {_MOST_PARAMETERS} percent-encoded parameters") from None
    query = dict(pairs)
    if len(query) != len(pairs):
        raise invalid_parameter("query", "each parameter may be given once")
    if not is_open and query.keys() - known.keys():
        names = ", ".join(sorted(known)) or "none"
        raise invalid_parameter("query", f"there is no such parameter; there are: {names}")
    return query


async def _send(operation: Operation, answer: Any, send: Send, *, with_body: bool) -> None:  # Any: as of a Handler
    if isinstance(answer, Page):
        body, media_type, more = answer.content, answer.media_type, answer.headers
    else:
        body, media_type, more = orjson.dumps(answer), "application/json", ()
    headers = [(b"content-type", media_type.encode()), (b"content-length", str(len(body)).encode()), *more]
    await send({"type": "http.response.start", "status": operation.status, "headers": headers})
    await send({"type": "http.response.body", "body": body if with_body else b""})
