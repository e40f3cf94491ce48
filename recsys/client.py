"""A Python client of the online service: typed calls, retries that cannot count twice, errors by kind."""

import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from recsys.errors import RecsysError
from recsys.schema import EventKind
from recsys.service.answers import (
    Parameters,
    Questions,
    Readiness,
    Receipt,
    RecommendationAnswer,
    Recorded,
    SimilarItems,
    Stored,
    UserExport,
)
from recsys.service.problems import ProblemDetails
from recsys.service.requests import (
    Consent,
    Event,
    EventBatch,
    ItemRecord,
    OnboardingRequest,
    RecommendationRequest,
    SessionRequest,
    UserRecord,
)

T = TypeVar("T")
_TRIED_AGAIN: Final = (429, 503)
_FIRST_WAIT_S: Final = 0.1
_LONGEST_WAIT_S: Final = 30.0


class ServiceError(RecsysError):
    """The service did not do what was asked for; `problem` is what it said, None when nothing came back."""

    def __init__(self, text: str, problem: ProblemDetails | None = None) -> None:
        super().__init__(text)
        self.problem = problem


class RefusedRequestError(ServiceError):
    """The request itself is wrong: the same one is refused again."""


class AccessError(ServiceError):
    """The API key is missing, not valid, or its scope is too small."""


class UnknownIdError(ServiceError):
    """Nothing is known under an id."""


class RateError(ServiceError):
    """The API key's rate was used up at every try."""


class UnavailableError(ServiceError):
    """The service could not be reached, or could not answer, at every try."""


_ERRORS: Final[Mapping[int, type[ServiceError]]] = {
    401: AccessError,
    403: AccessError,
    404: UnknownIdError,
    429: RateError,
    503: UnavailableError,
}


def event_of(
    user_id: str,
    item_id: str,
    event: EventKind,
    timestamp: datetime | None = None,
    event_id: str | None = None,
    **more: Any,  # Any: further fields of Event, which checks them
) -> Event:
    """Return an event of now, or of `timestamp`, with an id of its own unless it has one; it may be sent repeatedly."""
    return Event(
        event_id=event_id or uuid.uuid4().hex,
        user_id=user_id,
        item_id=item_id,
        event=event,
        timestamp=timestamp or datetime.now(UTC),
        **more,
    )


class Client:
    """Calls one service; use it as a context manager, or close it.

    Every call may be tried again without counting twice: events have ids, the rest replaces. It is after 429, 503 and
    failed connections, up to `retries` times, as late as Retry-After says, else after 0.1 s, 0.2 s, 0.4 s and so on.
    Each try may take `timeout_s`. Raises a ServiceError of its kind when the last try failed.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        timeout_s: float = 5.0,
        retries: int = 3,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_s, transport=transport)
        self._retries = retries
        self._sleep = sleep

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def recommend(self, request: RecommendationRequest) -> RecommendationAnswer:
        """Return a list for a user."""
        return self._call("POST", "/v1/recommendations", RecommendationAnswer, request)

    def recommend_session(self, request: SessionRequest) -> RecommendationAnswer:
        """Return a list for an anonymous visitor."""
        return self._call("POST", "/v1/sessions/recommendations", RecommendationAnswer, request)

    def similar(self, item_id: str, k: int = 10) -> SimilarItems:
        """Return up to k items like one."""
        return self._call("GET", f"/v1/items/{_part(item_id)}/similar", SimilarItems, query={"k": str(k)})

    def record(self, events: Sequence[Event]) -> Recorded:
        """Record up to 1,000 events, all or none; they are durable when this returns."""
        return self._call("POST", "/v1/events", Recorded, EventBatch(events=tuple(events)))

    def put_item(self, item_id: str, item: ItemRecord) -> Stored:
        """Add an item or replace it."""
        return self._call("PUT", f"/v1/items/{_part(item_id)}", Stored, item)

    def delete_item(self, item_id: str) -> Stored:
        """Take an item out of every list."""
        return self._call("DELETE", f"/v1/items/{_part(item_id)}", Stored)

    def put_user(self, user_id: str, user: UserRecord) -> Stored:
        """Add a user or replace the demographics."""
        return self._call("PUT", f"/v1/users/{_part(user_id)}", Stored, user)

    def put_consent(self, user_id: str, consent: Consent) -> Stored:
        """Replace a user's consent."""
        return self._call("PUT", f"/v1/users/{_part(user_id)}/consent", Stored, consent)

    def erase_user(self, user_id: str) -> Receipt:
        """Begin to erase everything about a user."""
        return self._call("DELETE", f"/v1/users/{_part(user_id)}", Receipt)

    def export_user(self, user_id: str) -> UserExport:
        """Return everything that is kept about a user."""
        return self._call("GET", f"/v1/users/{_part(user_id)}/export", UserExport)

    def questions(self, request: OnboardingRequest | None = None) -> Questions:
        """Return what to ask a newcomer next."""
        return self._call("POST", "/v1/onboarding", Questions, request or OnboardingRequest())

    def parameters(self) -> Parameters:
        """Return the main parameters of the recommendations in plain words."""
        return self._call("GET", "/v1/parameters", Parameters)

    def ready(self) -> Readiness:
        """Return readiness; raises UnavailableError with the reason when there is none."""
        return self._call("GET", "/readyz", Readiness)

    def _call(
        self,
        method: str,
        path: str,
        answer: type[T],
        body: BaseModel | None = None,
        query: Mapping[str, str] | None = None,
    ) -> T:
        content = body.model_dump_json(exclude_unset=True).encode() if body is not None else None
        headers = {"content-type": "application/json"} if content is not None else {}
        request = self._http.build_request(method, path, content=content, headers=headers, params=query)
        response = self._sent(request)
        if not response.is_success:
            raise _error_of(response)
        try:
            return TypeAdapter(answer).validate_json(response.content)
        except ValidationError:
            raise ServiceError(f"{method} {request.url.host} answered what this client cannot read") from None

    def _sent(self, request: httpx.Request) -> httpx.Response:
        """Return the answer of the first try that is not to be tried again, or of the last."""
        for tried in range(self._retries + 1):
            wait = _FIRST_WAIT_S * 2**tried * random.uniform(0.5, 1.5)  # noqa: S311 -- spreads clients, hides nothing
            try:
                response = self._http.send(request)
            except httpx.TransportError as error:
                if tried == self._retries:
                    raise UnavailableError(
                        f"{request.url.host} cannot be reached after {tried + 1} tries: {type(error).__name__}"
                    ) from None
            else:
                if response.status_code not in _TRIED_AGAIN or tried == self._retries:
                    return response
                told = response.headers.get("retry-after", "")
                wait = float(told) if told.isascii() and told.isdigit() else wait
            self._sleep(min(wait, _LONGEST_WAIT_S))
        raise AssertionError("the last try returns or raises")


def _part(text: str) -> str:
    return quote(text, safe="")


def _error_of(response: httpx.Response) -> ServiceError:
    try:
        problem = TypeAdapter(ProblemDetails).validate_json(response.content)
    except ValidationError:
        return ServiceError(f"the service answered {response.status_code} without saying why")
    kind = _ERRORS.get(problem.status) or (RefusedRequestError if problem.status < 500 else ServiceError)
    told = "; ".join(f"{each.pointer or each.parameter or 'body'}: {each.detail}" for each in problem.errors)
    return kind(f"{problem.status} {problem.title}: {problem.detail}" + (f" {told}" if told else ""), problem)
