"""Every operation of the service, declared once: what is routed, checked, described and shown in examples."""

from dataclasses import dataclass
from typing import Final, Literal

from pydantic import JsonValue

from recsys.service import answers as a
from recsys.service import requests as r
from recsys.service.fields import MAX_ID, NO_CONTROL, Strict
from recsys.service.keys import Scope

Method = Literal["GET", "POST", "PUT", "DELETE"]
_ID_SCHEMA: Final[dict[str, JsonValue]] = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_ID,
    "pattern": NO_CONTROL,
}


@dataclass(frozen=True)
class Parameter:
    """A parameter of a path or query; `is_open` stands for all names that no other parameter has."""

    name: str
    place: Literal["path", "query"]
    description: str
    schema: dict[str, JsonValue]
    example: JsonValue
    is_open: bool = False


@dataclass(frozen=True)
class Operation:
    """One method on one path. `bodies` are the models that a body may be, `scope` is None where no key is needed."""

    operation_id: str
    method: Method
    path: str
    summary: str
    scope: Scope | None
    answer: type | None
    status: int = 200
    bodies: tuple[type[Strict], ...] = ()
    parameters: tuple[Parameter, ...] = ()
    example: JsonValue = None
    can_miss: bool = False
    described: bool = True
    by_browser: bool = False
    limited: bool = True


def _id_of(what: str, example: str) -> Parameter:
    text = f"the {what}'s id, percent-encoded; `.` and `..` cannot stand in a path"
    return Parameter("id", "path", text, _ID_SCHEMA, example)


def _number(name: str, what: str, default: int, most: int) -> Parameter:
    schema: dict[str, JsonValue] = {"type": "integer", "minimum": 1, "maximum": most, "default": default}
    return Parameter(name, "query", what, schema, default)


_ITEM: Final = _id_of("item", "item-1")
_USER: Final = _id_of("user", "user-1")
_DEMOGRAPHICS: Final = Parameter(
    "demographics",
    "query",
    "every other parameter is a label by its column, such as `age=25-34`",
    {"type": "object", "additionalProperties": {"type": "string", "minLength": 1, "maxLength": MAX_ID}},
    {"age": "25-34"},
    is_open=True,
)
_EVENT: Final[dict[str, JsonValue]] = {
    "event_id": "event-1",
    "user_id": "user-1",
    "item_id": "item-1",
    "event": "click",
    "timestamp": "2026-01-31T20:00:00Z",
    "position": 1,
}

OPERATIONS: Final = (
    Operation(
        "recommend",
        "POST",
        "/v1/recommendations",
        "Recommend items to a user, or to somebody unknown",
        "read",
        a.RecommendationAnswer,
        bodies=(r.RecommendationRequest,),
        example={"user_id": "user-1", "k": 5, "context": {"device": "mobile"}, "explain": True},
    ),
    Operation(
        "recommend_session",
        "POST",
        "/v1/sessions/recommendations",
        "Recommend items to an anonymous visitor from the events of the session",
        "read",
        a.RecommendationAnswer,
        bodies=(r.SessionRequest,),
        example={"k": 5, "events": [{"item_id": "item-1", "event": "view", "time": "2026-01-31T20:00:00Z"}]},
    ),
    Operation(
        "similar",
        "GET",
        "/v1/items/{id}/similar",
        "List items like one",
        "read",
        a.SimilarItems,
        parameters=(_ITEM, _number("k", "length of the list", 10, 200)),
        can_miss=True,
    ),
    Operation(
        "record",
        "POST",
        "/v1/events",
        "Record one event or a batch; an event id that was recorded before counts as repeated",
        "write",
        a.Recorded,
        bodies=(r.Event, r.EventBatch),
        example=_EVENT,
    ),
    Operation(
        "put_item",
        "PUT",
        "/v1/items/{id}",
        "Add an item to the catalogue or replace it",
        "write",
        a.Stored,
        bodies=(r.ItemRecord,),
        parameters=(_ITEM,),
        example={"title": "Northern lights", "categories": ["nature"], "published_at": "2026-01-30T06:00:00Z"},
    ),
    Operation(
        "delete_item",
        "DELETE",
        "/v1/items/{id}",
        "Take an item out of every list",
        "write",
        a.Stored,
        parameters=(_ITEM,),
    ),
    Operation(
        "put_user",
        "PUT",
        "/v1/users/{id}",
        "Add a user or replace the demographics",
        "write",
        a.Stored,
        bodies=(r.UserRecord,),
        parameters=(_USER,),
        example={"demographics": {"age": "25-34"}, "signed_up_at": "2026-01-01T12:00:00Z"},
    ),
    Operation(
        "put_consent",
        "PUT",
        "/v1/users/{id}/consent",
        "Say what a user agrees to",
        "write",
        a.Stored,
        bodies=(r.Consent,),
        parameters=(_USER,),
        example={"personalization": True, "analytics": False, "do_not_sell": True},
    ),
    Operation(
        "erase_user",
        "DELETE",
        "/v1/users/{id}",
        "Begin to erase everything about a user",
        "admin",
        a.Receipt,
        status=202,
        parameters=(_USER,),
    ),
    Operation(
        "export_user",
        "GET",
        "/v1/users/{id}/export",
        "Export everything that is kept about a user",
        "admin",
        a.UserExport,
        parameters=(_USER,),
        can_miss=True,
    ),
    Operation(
        "first_questions",
        "GET",
        "/v1/onboarding",
        "List the first items to ask a newcomer about",
        "read",
        a.Questions,
        parameters=(_number("n", "questions to return", 5, 50), _DEMOGRAPHICS),
    ),
    Operation(
        "next_questions",
        "POST",
        "/v1/onboarding",
        "List what to ask next after a newcomer's answers; with `user_id` the answers are stored",
        "read",
        a.Questions,
        bodies=(r.OnboardingRequest,),
        example={"answers": {"item-1": "like"}, "demographics": {"age": "25-34"}, "n": 3},
    ),
    Operation(
        "parameters",
        "GET",
        "/v1/parameters",
        "Say in plain words what decides a list, and how to change it",
        "read",
        a.Parameters,
    ),
    Operation("healthz", "GET", "/healthz", "Tell that the process lives", None, a.Health, limited=False),
    Operation("readyz", "GET", "/readyz", "Tell whether lists can be served", None, a.Readiness, limited=False),
    Operation("metrics", "GET", "/metrics", "Metrics for Prometheus", "read", None, limited=False),
    Operation("openapi", "GET", "/openapi.json", "This description", "read", None, described=False, by_browser=True),
    Operation("docs", "GET", "/docs", "A page of the operations", "read", None, described=False, by_browser=True),
    # The page holds no data and needs no key, so that a person can enter one there.
    Operation("page", "GET", "/", "A page to try the service on", None, None, described=False, limited=False),
    Operation(
        "page_file",
        "GET",
        "/page/{id}",
        "A file of that page",
        None,
        None,
        parameters=(_id_of("file", "style.css"),),
        can_miss=True,
        described=False,
        limited=False,
    ),
)
