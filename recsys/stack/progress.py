"""Progress by stage: a spinner in a terminal, plain lines in a log."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.status import Status

_DONE = {"success": "[green]done[/]", "skipped": "[yellow]skipped[/]"}
_FAILED = ("failed", "upstream_failed")


class Progress:
    """Prints each stage once when it ends, and shows what runs meanwhile."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = Status("starting", console=console)
        self._began = time.monotonic()
        self._printed: set[tuple[str, str]] = set()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._status.stop()

    def say(self, text: str) -> None:
        """Print a line with the seconds since the start."""
        self._console.print(f"[dim]{time.monotonic() - self._began:5.0f} s[/]  {text}", highlight=False, soft_wrap=True)

    def show(self, dag_id: str, tasks: list[dict[str, str | float | None]]) -> None:
        """Print tasks that have ended since the last call; name those that run."""
        for task in tasks:
            self._show_ended(dag_id, str(task["task_id"]), str(task["state"]), task.get("duration"))
        running = [str(task["task_id"]) for task in tasks if task["state"] in ("running", "up_for_retry")]
        self._status.update(f"{dag_id}: {', '.join(running) or 'waiting for the scheduler'}")

    def _show_ended(self, dag_id: str, task_id: str, state: str, duration: str | float | None) -> None:
        if (dag_id, task_id) in self._printed or state not in (*_DONE, *_FAILED):
            return
        self._printed.add((dag_id, task_id))
        took = f" in {float(duration):.0f} s" if duration else ""
        self.say(f"{dag_id}  {task_id:<16} {_DONE.get(state, f'[red]{state}[/]')}{took}")
