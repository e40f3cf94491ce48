"""Writes what was shown to the event log, beside the answers: a list never waits for the disk."""

import logging
import threading
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Final

from recsys.errors import RecsysError
from recsys.eventlog import Event, EventLog

_LOGGER: Final = logging.getLogger("recsys.service")
_MOST: Final = 100_000  # exposures that wait; further ones are dropped and counted
_BATCH: Final = 1_000
_PAUSE_S: Final = 0.05
_RETRY_S: Final = 1.0


class Exposures:
    """A queue of impressions and the thread that empties it; `close` waits until all of it is written."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._waiting: deque[Event] = deque()
        self._queue, self._writing = threading.Lock(), threading.Lock()
        self._stop = threading.Event()
        self.n_dropped = 0
        self._thread = threading.Thread(target=self._run, name="recsys-exposures", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, shown: Sequence[Event]) -> None:
        """Queue impressions; where too many wait already, they are dropped and counted."""
        with self._queue:
            if len(self._waiting) + len(shown) > _MOST:
                self.n_dropped += len(shown)
            else:
                self._waiting.extend(shown)

    def forget(self, user: str) -> None:
        """Drop what waits of a user; what is being written is written when this returns."""
        with self._writing, self._queue:
            self._waiting = deque(each for each in self._waiting if each.user_id != user)

    def close(self) -> None:
        """Write what waits, and end."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_PAUSE_S):
            while self._waiting and not self._write():
                if self._stop.wait(_RETRY_S):
                    break
        while self._waiting:
            if not self._write():
                self.n_dropped += len(self._waiting)
                return

    def _write(self) -> bool:
        """Write the first that wait; tell whether that worked."""
        with self._writing:
            with self._queue:
                batch = list(islice(self._waiting, _BATCH))
            try:
                self._log.append_events(batch)
            except RecsysError as error:
                _LOGGER.warning("exposures wait, as the event log cannot be written: %s", error)
                return False
            with self._queue:
                for _ in batch:
                    self._waiting.popleft()
        return True
