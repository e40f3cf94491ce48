"""The threads on which an engine's blocking calls run, so that the event loop keeps answering."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, Literal, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
Work = Literal["lists", "writes", "fallback"]
_WORKS: Final[tuple[Work, ...]] = ("lists", "writes", "fallback")


class Threads:
    """One thread for each kind of work: a slow disk delays no list, a slow model no event."""

    def __init__(self) -> None:
        self.by_work: Mapping[Work, ThreadPoolExecutor] = {
            work: ThreadPoolExecutor(1, thread_name_prefix=f"recsys-{work}") for work in _WORKS
        }

    async def run(self, work: Work, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call on the thread of a kind of work and return what it returns."""
        return await asyncio.get_running_loop().run_in_executor(self.by_work[work], partial(call, *args, **kwargs))

    def close(self) -> None:
        """Finish what was begun and drop what was not."""
        for thread in self.by_work.values():
            thread.shutdown(wait=True, cancel_futures=True)
