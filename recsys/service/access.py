"""Who may do what, how often: API keys of requests against scopes and rates."""

import base64
import binascii
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from recsys.service.keys import KeyRecord, Keyring, Scope
from recsys.service.problems import Problem

_CHALLENGE: Final = 'Bearer realm="recsys"'
_BROWSER_CHALLENGE: Final = 'Bearer realm="recsys", Basic realm="recsys", charset="UTF-8"'
_LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]", "::1", ""})


@dataclass
class _Bucket:
    tokens: float
    filled_at: float


class Access:
    """Lets requests through, or raises the problem that keeps them out; without a keyring every local one may pass.

    One token bucket per known key, which holds the requests of one second, so memory is bounded by the number of keys.
    `clock` returns seconds and never goes back.
    """

    def __init__(self, keyring: Keyring | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._keyring = keyring
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    @property
    def is_open(self) -> bool:
        """Whether no key is needed."""
        return self._keyring is None

    def replace(self, keyring: Keyring) -> None:
        """Take other keys from now on; a service that needs keys never becomes open."""
        if self._keyring is not None:
            self._keyring = keyring
            self._buckets = {key: bucket for key, bucket in self._buckets.items() if key in keyring.records}

    def check(self, headers: Mapping[str, str], scope: Scope, by_browser: bool = False) -> None:
        """Let a request through that may use `scope`.

        Raises Problem 401 without a valid key, 403 for too small a scope, 429 above the key's rate, 421 for a name of
        this machine that an open service does not go by (a page of another site may make a browser call it so).
        """
        if self._keyring is None:
            if not _is_loopback(headers.get("host", "")):
                raise Problem(421, "misdirected", "Without API keys the service answers under local names only.")
            return
        record = self._keyring.find(_presented(headers, by_browser))
        if record is None:
            challenge = _BROWSER_CHALLENGE if by_browser else _CHALLENGE
            raise Problem(401, "unauthorized", "A valid API key is needed.", headers={"www-authenticate": challenge})
        self._take(record)
        if not record.allows(scope):
            raise Problem(403, "forbidden", f"The API key needs the scope {scope}.")

    def _take(self, record: KeyRecord) -> None:
        now, capacity = self._clock(), max(1.0, record.rate)
        bucket = self._buckets.setdefault(record.key_id, _Bucket(capacity, now))
        bucket.tokens = min(capacity, bucket.tokens + max(0.0, now - bucket.filled_at) * record.rate)
        bucket.filled_at = now
        if bucket.tokens < 1.0:
            seconds = max(1, math.ceil((1.0 - bucket.tokens) / record.rate))
            raise Problem(429, "rate", "The API key's rate is used up.", headers={"retry-after": str(seconds)})
        bucket.tokens -= 1.0


def _presented(headers: Mapping[str, str], by_browser: bool) -> str:
    if key := headers.get("x-api-key"):
        return key
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if by_browser and kind.lower() == "basic":
        try:
            return base64.b64decode(value.strip(), validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


def _is_loopback(host: str) -> bool:
    name = host.rsplit(":", 1)[0] if host.rsplit(":", 1)[-1].isdigit() and not host.endswith("]") else host
    return name.lower() in _LOOPBACK_NAMES
