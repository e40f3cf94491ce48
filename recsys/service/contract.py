"""What the HTTP shell asks of whatever answers: the `Engine` protocol and the query it receives."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from recsys.errors import RecsysError
from recsys.service.answers import (
    DegradedStep,
    EngineCounts,
    Parameters,
    Questions,
    RankedList,
    Readiness,
    Receipt,
    Recorded,
    SimilarItems,
    UserExport,
)
from recsys.service.requests import (
    Consent,
    Event,
    ItemRecord,
    ListRequest,
    OnboardingRequest,
    SessionEvent,
    UserRecord,
)


@dataclass(frozen=True, slots=True)
class Query:
    """One request for a list, as an engine receives it.

    `time` (UTC) is the time of the request's context, else the server's clock. `events` are those of an anonymous
    session. When `wanted.profiling` is false, the shell has already removed the user id, events, demographics and
    answers, and the engine must store nothing.
    """

    request_id: str
    time: datetime
    user_id: str | None
    events: tuple[SessionEvent, ...]
    wanted: ListRequest


class Engine(Protocol):
    """What answers requests. Errors decide the status of the answer.

    NotFoundError: 404. RefusedError: 422 with its text, which must hold no id. Any other DataError: 422 without its
    text. StorageError: 503, the client may try again. Everything else: 500. `recommend_many`, `similar` and
    `questions` run on one thread, everything that writes or exports on a second, `fallback` on a third, and
    `readiness`, `counts` and `parameters` on the event loop: those must return at once and never wait for a lock that
    another call holds long.
    """

    def recommend_many(self, queries: Sequence[Query]) -> Sequence[RankedList | RecsysError]:
        """Answer each query in its place, with a list or with the error of that query alone.

        An error that is raised counts for every query.
        """
        ...

    def fallback(self, query: Query, step: DegradedStep) -> RankedList:
        """Return a list that is ready already, whatever the other threads do, labelled with `step`."""
        ...

    def similar(self, item_id: str, k: int) -> SimilarItems:
        """Return up to k items like one; raise NotFoundError for an unknown item."""
        ...

    def questions(self, request: OnboardingRequest) -> Questions:
        """Return what to ask a newcomer next; raise RefusedError when an answered item is unknown."""
        ...

    def record_many(self, batches: Sequence[Sequence[Event]]) -> Sequence[Recorded | RecsysError]:
        """Make each batch durable, all its events or none, and return its counts or its error in its place."""
        ...

    def record_answers(self, request: OnboardingRequest, time: datetime) -> None:
        """Store a user's onboarding answers as events of that time; a repeated answer counts once."""
        ...

    def put_item(self, item_id: str, item: ItemRecord) -> None:
        """Add an item to the catalogue or replace it."""
        ...

    def delete_item(self, item_id: str) -> None:
        """Take an item out of every list; an unknown item is no error."""
        ...

    def put_user(self, user_id: str, user: UserRecord) -> None:
        """Add a user or replace the demographics."""
        ...

    def put_consent(self, user_id: str, consent: Consent) -> None:
        """Replace a user's consent; it counts from the next request on."""
        ...

    def erase_user(self, user_id: str) -> Receipt:
        """Begin to erase everything about a user; an unknown user gets a receipt too."""
        ...

    def export_user(self, user_id: str) -> UserExport:
        """Return everything kept about a user; raise NotFoundError when that is nothing."""
        ...

    def parameters(self) -> Parameters:
        """Return the main parameters in plain words."""
        ...

    def readiness(self) -> Readiness:
        """Tell whether lists can be served."""
        ...

    def counts(self) -> EngineCounts:
        """Return the numbers for the metrics."""
        ...

    def close(self) -> None:
        """Finish what was begun; called once, after the last request was answered."""
        ...
