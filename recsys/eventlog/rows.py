"""What the log holds: events, users and items as the data contract names them, and when each row arrived."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from recsys.schema import EventKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that a person did, or one item that was shown to them: one row per event.

    `user_id` is a pseudonym. An `impression` says at which `position` of which answer (`request_id`) the item stood,
    with which `propensity` it was chosen and which bundle made the answer.
    """

    event_id: str
    user_id: str
    item_id: str
    event: EventKind
    timestamp: datetime
    value: float | None = None
    device: str | None = None
    country: str | None = None
    session_id: str | None = None
    request_id: str | None = None
    position: int | None = None
    propensity: float | None = None
    bundle_version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """What is known of a person since this row arrived; `user_id` is a pseudonym.

    `deleted` says that the person has left: nothing of theirs may be used, whatever another source says.
    """

    user_id: str
    age: int | None = None
    gender: str | None = None
    location: str | None = None
    occupation: str | None = None
    consent_personalization: bool | None = None
    consent_analytics: bool | None = None
    do_not_sell: bool | None = None
    signed_up_at: datetime | None = None
    deleted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """What is known of an item since this row arrived; `deleted` says that it left the catalogue then."""

    item_id: str
    title: str | None = None
    description: str | None = None
    categories: tuple[str, ...] | None = None
    creator: str | None = None
    language: str | None = None
    published_at: datetime | None = None
    expires_at: datetime | None = None
    duration_s: float | None = None
    deleted: bool = False


RowT = TypeVar("RowT", Event, User, Item)
RowType = type[Event] | type[User] | type[Item]
Cell = str | int | float | None  # what the databases hold; times are microseconds since 1970 in UTC
Columns = Mapping[str, Sequence[Cell]]  # column -> one cell per row


@dataclass(frozen=True, slots=True)
class Logged(Generic[RowT]):
    """A row with its arrival number, from 1 over all streams of the log, and the time of its arrival."""

    arrival: int
    arrived_at: datetime
    row: RowT


@dataclass(frozen=True, slots=True)
class Appended:
    """How many rows of a batch are new, and how many the log held already."""

    new: int
    repeated: int
