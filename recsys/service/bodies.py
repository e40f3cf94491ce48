"""Bodies of requests: received within limits of size and time, read as strict JSON."""

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.types import Receive

from recsys.config import ServiceConfig
from recsys.service.problems import Problem, invalid_body, unavailable

M = TypeVar("M", bound=BaseModel)
_CLOSE: Final = {"connection": "close"}
_TOKENS: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[{]|[\]}]', re.DOTALL)
_DRAINED: Final = 4  # of a body that is too large, up to so many times the limit is read, so that its sender hears why


class ClientGoneError(Exception):
    """The client closed the connection before its request had arrived."""


class BodyReader:
    """Receives bodies; counts the bytes of all that are being received at once."""

    def __init__(self, settings: ServiceConfig) -> None:
        self._settings = settings
        self._pending = 0

    async def read(self, headers: Mapping[str, str], receive: Receive) -> bytes:
        """Return a whole body.

        Raises Problem: 413 for a body that is announced or turns out to be too large, 408 for one that does not arrive
        in time, 503 when too many arrive at once, 400 for a length that is no number; ClientGoneError.
        """
        limit = self._settings.max_body_bytes
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            raise Problem(400, "bad-request", "Content-Length must be a whole number.", headers=_CLOSE)
        if len(length) > 15 or int(length) > limit * _DRAINED:
            raise self._too_large()
        chunks: list[bytes] = []
        held = 0
        try:
            async with asyncio.timeout(self._settings.body_timeout_s):
                received, more = 0, True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGoneError
                    chunk = message.get("body", b"")
                    more = message.get("more_body", False)
                    received += len(chunk)
                    if received > limit:
                        chunks.clear()
                        if received > limit * _DRAINED or not more:
                            raise self._too_large()
                    elif chunk:
                        chunks.append(chunk)
                        held += len(chunk)
                        self._pending += len(chunk)
                    if more and self._pending > self._settings.max_pending_bytes:
                        raise unavailable("Too many bodies arrive at once. Try again.")
        except TimeoutError:
            seconds = self._settings.body_timeout_s
            raise Problem(
                408, "timeout", f"The body did not arrive within {seconds:g} seconds.", headers=_CLOSE
            ) from None
        finally:
            self._pending -= held
        return b"".join(chunks)

    def _too_large(self) -> Problem:
        limit = self._settings.max_body_bytes
        return Problem(413, "too-large", f"The body must be at most {limit} bytes.", headers=_CLOSE)


def check_media_type(headers: Mapping[str, str]) -> None:
    """Raise Problem 415 unless a body is JSON in UTF-8; pages of other sites cannot send that without being allowed."""
    media_type, _, parameters = headers.get("content-type", "").lower().partition(";")
    charset = parameters.strip().removeprefix("charset=").strip('"')
    if media_type.strip() != "application/json" or charset not in ("", "utf-8"):
        raise Problem(415, "media-type", "The body must be application/json in UTF-8.")


def parse(body: bytes, models: Sequence[type[M]], max_depth: int) -> M:
    """Read a body as the one of `models` that has most of its keys, the first of equals.

    Raises Problem: 400 for what is no JSON (NaN and Infinity are none), repeats a key in one object or is nested too
    deep; 422 with JSON pointers for values that the model does not take.
    """
    found = _keys(body, max_depth)
    model = max(models, key=lambda each: len(found & each.model_fields.keys()))
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        if error.errors(include_url=False)[0]["type"] == "json_invalid":
            raise _no_json(body, max_depth) from None
        if _depth(body) > max_depth:
            raise _too_deep(max_depth) from None
        raise invalid_body(error, model) from None


def _keys(body: bytes, max_depth: int) -> frozenset[str]:
    """Return the keys of a body that is an object, after a look at the whole for what strict JSON forbids."""
    try:
        # Numbers stay texts: a number of a million digits would take minutes to convert.
        found = json.loads(body, object_pairs_hook=_unique, parse_constant=_refuse, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        raise _no_json(body, max_depth) from None
    return frozenset(found) if isinstance(found, dict) else frozenset()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:  # Any: JSON
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Problem(400, "duplicate-key", "An object of the body holds the same key twice.")
    return found


def _refuse(constant: str) -> None:
    raise Problem(400, "not-json", f"{constant} is no JSON value.")


def _no_json(body: bytes, max_depth: int) -> Problem:
    if _depth(body) > max_depth:
        return _too_deep(max_depth)
    return Problem(400, "not-json", "The body is not JSON in UTF-8.")


def _too_deep(max_depth: int) -> Problem:
    return Problem(400, "too-deep", f"JSON must be nested at most {max_depth} deep.")


def _depth(body: bytes) -> int:
    """Return how deep brackets are nested; of invalid bodies alone, as no valid one is deeper than its model."""
    deepest = depth = 0
    for token in _TOKENS.finditer(body):
        first = token.group()[:1]
        if first in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif first in b"]}":
            depth -= 1
    return deepest
