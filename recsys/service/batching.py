"""Requests that wait while a thread is busy are handed over together."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class Batcher(Generic[Q, A]):
    """Calls `answer_many` on one thread with whatever has queued up since its last call; it never waits for company.

    `answer_many` returns an answer or an error for each question in its place; an error that it raises is that of all.
    `weight` is what a question counts towards `max_weight`, the most that one call gets beside its first question.
    """

    def __init__(
        self,
        answer_many: Callable[[Sequence[Q]], Sequence[A | Exception]],
        thread: Executor,
        max_weight: int,
        weight: Callable[[Q], int] = lambda _: 1,
        watch: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._answer_many = answer_many
        self._thread = thread
        self._max_weight = max_weight
        self._weight = weight
        self._watch = watch
        self._waiting: deque[tuple[Q, asyncio.Future[A]]] = deque()
        self._busy = False

    def ask(self, question: Q) -> "asyncio.Future[A]":
        """Return the future answer; cancelled before its turn, the question is never handed over."""
        answer: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, answer))
        if not self._busy:
            self._hand_over()
        return answer

    def _hand_over(self) -> None:
        batch: list[tuple[Q, asyncio.Future[A]]] = []
        weight = 0
        while self._waiting:
            question, answer = self._waiting[0]
            if not answer.cancelled():
                weight += self._weight(question)
                if batch and weight > self._max_weight:
                    break
                batch.append((question, answer))
            self._waiting.popleft()
        if batch:
            self._busy = True
            self._watch(len(batch))
            questions = [question for question, _ in batch]
            job = asyncio.get_running_loop().run_in_executor(self._thread, self._answer_many, questions)
            job.add_done_callback(partial(self._deliver, [answer for _, answer in batch]))

    def _deliver(self, answers: "list[asyncio.Future[A]]", job: "asyncio.Future[Sequence[A | Exception]]") -> None:
        self._busy = False
        if self._waiting:
            self._hand_over()
        for answer, found in zip(answers, _found(job, len(answers)), strict=True):
            if answer.done():
                continue
            if isinstance(found, Exception):
                answer.set_exception(found)
            else:
                answer.set_result(found)


def _found(job: "asyncio.Future[Sequence[A | Exception]]", n: int) -> Sequence[A | Exception]:
    if job.cancelled():
        return [RuntimeError("the engine was stopped")] * n
    if (error := job.exception()) is not None:
        return [error if isinstance(error, Exception) else RuntimeError("the engine's thread ended")] * n
    found = job.result()
    return found if len(found) == n else [RuntimeError(f"the engine gave {len(found)} answers to {n} questions")] * n
