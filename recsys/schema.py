"""The data contract: every column's name and type, stated once.

`interactions` has one row per event, `users` one row per user, `items` one row per item. A frame that has passed
the privacy door holds `PRIVATE_USERS`: age and location have become coarse labels there.
"""

from typing import Final, Literal, NewType

import polars as pl

PseudonymousUserId = NewType("PseudonymousUserId", str)
ItemId = NewType("ItemId", str)

EventKind = Literal[
    "impression", "view", "click", "like", "dislike", "share", "save", "rating", "add_to_cart", "purchase"
]
# Trained towers know kinds by their place: new ones go to the end.
EVENT_KINDS: Final[tuple[EventKind, ...]] = (
    "impression",
    "view",
    "click",
    "like",
    "dislike",
    "share",
    "save",
    "rating",
    "add_to_cart",
    "purchase",
)

EVENT_ID: Final = "event_id"
USER_ID: Final = "user_id"
ITEM_ID: Final = "item_id"
EVENT: Final = "event"
VALUE: Final = "value"
TIMESTAMP: Final = "timestamp"
DEVICE: Final = "device"
COUNTRY: Final = "country"
SESSION_ID: Final = "session_id"
REQUEST_ID: Final = "request_id"
POSITION: Final = "position"
PROPENSITY: Final = "propensity"

AGE: Final = "age"
GENDER: Final = "gender"
LOCATION: Final = "location"
OCCUPATION: Final = "occupation"
CONSENT_PERSONALIZATION: Final = "consent_personalization"
CONSENT_ANALYTICS: Final = "consent_analytics"
DO_NOT_SELL: Final = "do_not_sell"
SIGNED_UP_AT: Final = "signed_up_at"

TITLE: Final = "title"
DESCRIPTION: Final = "description"
CATEGORIES: Final = "categories"
CREATOR: Final = "creator"
LANGUAGE: Final = "language"
PUBLISHED_AT: Final = "published_at"
EXPIRES_AT: Final = "expires_at"
DURATION_S: Final = "duration_s"

WEIGHT: Final = "weight"
SCORE: Final = "score"
RANK: Final = "rank"
REASON: Final = "reason"

TableName = Literal["interactions", "users", "items"]
TABLES: Final[tuple[TableName, ...]] = ("interactions", "users", "items")

_UTC: Final = pl.Datetime("us", "UTC")

INTERACTIONS: Final[dict[str, pl.DataType]] = {
    EVENT_ID: pl.String(),
    USER_ID: pl.String(),
    ITEM_ID: pl.String(),
    EVENT: pl.String(),
    VALUE: pl.Float64(),
    TIMESTAMP: _UTC,
    DEVICE: pl.String(),
    COUNTRY: pl.String(),
    SESSION_ID: pl.String(),
    REQUEST_ID: pl.String(),
    POSITION: pl.Int32(),
    PROPENSITY: pl.Float64(),
}
USERS: Final[dict[str, pl.DataType]] = {
    USER_ID: pl.String(),
    AGE: pl.Int32(),
    GENDER: pl.String(),
    LOCATION: pl.String(),
    OCCUPATION: pl.String(),
    CONSENT_PERSONALIZATION: pl.Boolean(),
    CONSENT_ANALYTICS: pl.Boolean(),
    DO_NOT_SELL: pl.Boolean(),
    SIGNED_UP_AT: _UTC,
}
PRIVATE_USERS: Final[dict[str, pl.DataType]] = {**USERS, AGE: pl.String()}
ITEMS: Final[dict[str, pl.DataType]] = {
    ITEM_ID: pl.String(),
    TITLE: pl.String(),
    DESCRIPTION: pl.String(),
    CATEGORIES: pl.List(pl.String()),
    CREATOR: pl.String(),
    LANGUAGE: pl.String(),
    PUBLISHED_AT: _UTC,
    EXPIRES_AT: _UTC,
    DURATION_S: pl.Float64(),
}
TABLE_SCHEMAS: Final[dict[TableName, dict[str, pl.DataType]]] = {
    "interactions": INTERACTIONS,
    "users": USERS,
    "items": ITEMS,
}
REQUIRED_COLUMNS: Final[dict[TableName, tuple[str, ...]]] = {
    "interactions": (USER_ID, ITEM_ID, EVENT, TIMESTAMP),
    "users": (USER_ID,),
    "items": (ITEM_ID,),
}
