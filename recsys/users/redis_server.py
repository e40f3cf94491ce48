"""States in Redis, for replicas on several machines; needs the extra `recsys[redis]`."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from recsys.errors import ConfigError, StorageError
from recsys.users.backend import Swap

if TYPE_CHECKING:
    from redis import Redis

_BUCKETS: Final = 1024  # hashes among which users are spread: a million users are about a thousand in each
_TIMEOUT_S: Final = 5.0
_SWAP: Final = """
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
"""
_Result = TypeVar("_Result")


class RedisBackend:
    """Hashes `<prefix>:users:<bucket>` and `<prefix>:about`; a script compares and exchanges.

    Redis must be set to evict nothing. What is removed stays in its append-only file until that is rewritten.
    """

    def __init__(self, url: str, prefix: str) -> None:
        self._prefix = prefix
        self._about = f"{prefix}:about"
        self._client = _client(url)

    def read(self, users: Sequence[str]) -> dict[str, bytes]:
        """Return what is stored of those users of whom anything is."""

        def read(client: "Redis") -> dict[str, bytes]:
            pipeline = client.pipeline(transaction=False)
            for user in users:
                pipeline.hget(self._bucket(user), user)
            found = zip(users, pipeline.execute(), strict=True)
            return {user: bytes(state) for user, state in found if state is not None}

        return self._try(read)

    def swap(self, swaps: Sequence[Swap]) -> list[str]:
        """Exchange each by a script, and return the users of whom something else was stored."""

        def swap(client: "Redis") -> list[str]:
            pipeline = client.pipeline(transaction=False)
            for user, old, new in swaps:
                pipeline.eval(_SWAP, 1, self._bucket(user), user, old or b"", new)
            return [each.user for each, done in zip(swaps, pipeline.execute(), strict=True) if not done]

        return self._try(swap)

    def remove(self, user: str) -> bool:
        """Erase a user from the memory of the server."""
        return self._try(lambda client: bool(client.hdel(self._bucket(user), user)))

    def scrub(self) -> None:
        """Do nothing: what was deleted leaves the server's files when its append-only file is rewritten."""

    def count(self) -> int:
        """Return of how many users anything is stored."""

        def count(client: "Redis") -> int:
            pipeline = client.pipeline(transaction=False)
            for bucket in range(_BUCKETS):
                pipeline.hlen(self._key(bucket))
            return sum(int(n) for n in pipeline.execute())

        return self._try(count)

    def users(self) -> Iterator[str]:
        """Yield every user."""
        for bucket in range(_BUCKETS):
            yield from self._try(partial(_fields, key=self._key(bucket)))

    def about(self) -> dict[str, str]:
        """Return the facts about the store."""
        found: dict[bytes, bytes] = self._try(lambda client: client.hgetall(self._about))  # type: ignore[arg-type,return-value]
        return {name.decode(): value.decode() for name, value in found.items()}

    def describe(self, name: str, value: str, *, if_absent: bool = False) -> None:
        """Store a fact about the store."""
        self._try(lambda client: (client.hsetnx if if_absent else client.hset)(self._about, name, value))

    def clear(self) -> None:
        """Erase everything of this deployment."""
        keys = [self._about, *map(self._key, range(_BUCKETS))]
        self._try(lambda client: client.delete(*keys))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _bucket(self, user: str) -> str:
        return self._key(zlib.crc32(user.encode()) % _BUCKETS)

    def _key(self, bucket: int) -> str:
        return f"{self._prefix}:users:{bucket}"

    def _try(self, work: Callable[["Redis"], _Result]) -> _Result:
        from redis.exceptions import RedisError

        try:
            return work(self._client)
        except (RedisError, OSError) as error:
            raise StorageError(
                f"cannot use the users' states in Redis ({type(error).__name__}); check that the server at users.url, "
                "or in the variable named by users.url_env, runs and lets this user in, then try again"
            ) from None


def _fields(client: "Redis", key: str) -> list[str]:
    names: list[bytes] = client.hkeys(key)  # type: ignore[assignment]  # no coroutine, as the client is none
    return [name.decode() for name in names]


def _client(url: str) -> "Redis":
    try:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError:
        raise ConfigError("users' states in Redis need the redis package: pip install 'recsys[redis]'") from None
    settings: dict[str, Any] = {  # Any: keyword arguments of several types
        "socket_timeout": _TIMEOUT_S,
        "socket_connect_timeout": _TIMEOUT_S,
        "retry": Retry(NoBackoff(), 1),  # once more on a connection that a restart closed; swaps may be repeated
        "health_check_interval": 30,
    }
    try:
        return redis.Redis.from_url(url, **settings)
    except ValueError:
        raise ConfigError("the address of users' states is no Redis address: redis://host:port/db") from None
