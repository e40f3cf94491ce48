"""What clients send: the strict models of every request body."""

from typing import Annotated, Literal

from pydantic import Field

from recsys.config import RerankConfig
from recsys.schema import EventKind
from recsys.service.fields import Demographics, Id, Label, Labels, Strict, Text, Time, Title

Opinion = Literal["like", "dislike", "unknown"]
Opinions = Annotated[dict[Id, Opinion], Field(max_length=200, description="onboarding answers by item id")]
K = Annotated[int, Field(ge=1, le=200, description="length of the list")]


class Context(Strict):
    """Circumstances of a request; `time` is the server's clock unless it is given."""

    device: Label | None = None
    country: Label | None = None
    time: Time | None = None


class Filters(Strict):
    """What may be listed: an item of any of these categories, in one of these languages, by one of these creators.

    `max_age_days` counts from `published_at` to the time of the request.
    """

    categories: Labels = ()
    languages: Labels = ()
    creators: Labels = ()
    max_age_days: Annotated[float, Field(gt=0, le=36_500)] | None = None


class RerankOptions(RerankConfig, strict=True):
    """The options of `[rerank]` for one request."""

    popularity_penalty: float = Field(
        default=0.0, ge=0, le=100, description="standard deviations of score that one of log popularity costs"
    )
    n_candidates: int = Field(
        default=100, ge=1, le=1_000, description="best items by score among which the list is chosen"
    )


class ListRequest(Strict):
    """What a list should be, whoever it is for.

    `rerank` replaces the deployment's own options. With `profiling` false the list is what is popular and fresh in this
    context alone: nothing about the person is read or stored.
    """

    k: K = 10
    context: Context = Context()
    demographics: Demographics = Field(default_factory=dict)
    filters: Filters = Filters()
    exclude_ids: Annotated[tuple[Id, ...], Field(max_length=1_000)] = ()
    rerank: RerankOptions | None = None
    explain: Annotated[bool, Field(description="whether each item's reason is told")] = False
    profiling: bool = True
    answers: Opinions = Field(default_factory=dict)


class RecommendationRequest(ListRequest):
    """A list for a user, or for nobody in particular."""

    user_id: Id | None = None


class SessionEvent(Strict):
    """One thing an anonymous visitor did in this session."""

    item_id: Id
    event: EventKind
    time: Time


class SessionRequest(ListRequest):
    """A list for an anonymous visitor, who brings the events of the session along; they are not stored."""

    events: Annotated[tuple[SessionEvent, ...], Field(max_length=500)] = ()


class Event(Strict):
    """One event: a row of the interactions table.

    `value` is a rating, or seconds watched. `request_id`, `position` and `propensity` repeat what the answer that
    showed the item said.
    """

    event_id: Annotated[Id, Field(description="repeated events of one id count once")]
    user_id: Id
    item_id: Id
    event: EventKind
    timestamp: Time
    value: float | None = None
    device: Label | None = None
    country: Label | None = None
    session_id: Id | None = None
    request_id: Id | None = None
    position: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    propensity: Annotated[float, Field(gt=0, le=1)] | None = None


class EventBatch(Strict):
    """Events recorded together: all of them or none."""

    events: Annotated[tuple[Event, ...], Field(min_length=1, max_length=1_000)]


class ItemRecord(Strict):
    """One item of the catalogue; fields that are left out are not known."""

    title: Title = ""
    description: Text = ""
    categories: Labels = ()
    creator: Label | None = None
    language: Label | None = None
    published_at: Time | None = None
    expires_at: Time | None = None
    duration_s: Annotated[float, Field(ge=0, le=1e9)] | None = None


class UserRecord(Strict):
    """One user's demographics by column; it replaces what was known before."""

    demographics: Demographics = Field(default_factory=dict)
    signed_up_at: Time | None = None


class Consent(Strict):
    """What a user agrees to; all three must be said."""

    personalization: bool
    analytics: bool
    do_not_sell: bool


class OnboardingRequest(Strict):
    """A newcomer's answers so far; with `user_id` they are stored as events of that user."""

    answers: Opinions = Field(default_factory=dict)
    demographics: Demographics = Field(default_factory=dict)
    user_id: Id | None = None
    n: Annotated[int, Field(ge=1, le=50, description="questions to return")] = 5
