"""Watches which version is champion and what the log says of items; opens a new version beside the old one."""

import logging
import threading
from typing import Final

from recsys.config import Config
from recsys.errors import RecsysError
from recsys.eventlog import EventLog
from recsys.service.version import Version
from recsys.serving import Champion, read_champion

_LOGGER: Final = logging.getLogger("recsys.service")
_LOOK_S: Final = 0.5


class Swapper:
    """Holds the version that serves. A version that cannot be opened is refused once; the old one serves on."""

    def __init__(self, config: Config, log: EventLog) -> None:
        self._config, self._log = config, log
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recsys-swapper", daemon=True)
        self._refused_digest = ""
        self._arrival = 0
        self.version: Version | None = None
        self.reason: str | None = "no version has been promoted yet"
        self.refused: str | None = None
        self.n_swaps = self.n_refused = 0

    def start(self) -> None:
        """Open the champion, where there is one, then watch for the next."""
        self.look()
        self._thread.start()

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        self._thread.join()

    def look(self) -> None:
        """Take over the champion if it has changed, and what the log says of items since the last look."""
        try:
            champion = read_champion(self._config.storage)
            if champion is not None and self._is_new(champion):
                self._swap(champion)
            self._follow_items()
        except RecsysError as error:
            _LOGGER.warning("the champion or the event log cannot be read: %s", error)
            if self.version is None:
                self.reason = str(error)

    def _is_new(self, champion: Champion) -> bool:
        serves = self.version.champion.digest if self.version else ""
        return champion.digest not in (serves, self._refused_digest)

    def _swap(self, champion: Champion) -> None:
        try:
            version = Version.open(self._config, champion, self._log)
        except (RecsysError, OSError, ValueError, KeyError) as error:
            self._refused_digest = champion.digest
            self.n_refused += 1
            self.refused = f"version {champion.version} was refused: {error}"
            self.reason = self.refused
            _LOGGER.warning("%s", self.refused)
            return
        self._arrival = version.arrival
        self.version = version
        self.n_swaps += 1
        self.refused = self.reason = None
        self._refused_digest = ""

    def _follow_items(self) -> None:
        version, last = self.version, self._log.last()
        if version is None or last <= self._arrival:
            return
        if self._log.changes_since(self._arrival, last):
            for logged in self._log.items(last):
                if logged.arrival > self._arrival:
                    version.catalogue.change(logged.row)
        self._arrival = last

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_S):
            self.look()
