"""Who may pass the privacy door, and what happens to the events of those who may not."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

import polars as pl

from recsys.config import PrivacyConfig
from recsys.data.identifiers import usual_form
from recsys.data.privacy import PseudonymKey, mask_references, pseudonymise
from recsys.data.unreadable import lost
from recsys.schema import (
    CONSENT_ANALYTICS,
    CONSENT_PERSONALIZATION,
    DO_NOT_SELL,
    EVENT_ID,
    REQUEST_ID,
    SESSION_ID,
    SIGNED_UP_AT,
    TIMESTAMP,
    USER_ID,
)

PSEUDONYM: Final = "_pseudonym"
STATUS: Final = "_status"
KEPT: Final = "kept"
NO_CONSENT: Final = "withheld_no_consent"
UNREADABLE_CONSENT: Final = "withheld_unreadable_consent"
DO_NOT_SELL_WITHHELD: Final = "withheld_do_not_sell"
UNKNOWN_USER: Final = "withheld_unknown_user"
NO_USER: Final = "withheld_no_user"
ERASED: Final = "withheld_erased"
RETENTION: Final = "dropped_retention"
STATUSES: Final = (KEPT, NO_CONSENT, UNREADABLE_CONSENT, DO_NOT_SELL_WITHHELD, UNKNOWN_USER, NO_USER, RETENTION)


def build_register(users: pl.DataFrame, privacy: PrivacyConfig, key: PseudonymKey) -> pl.DataFrame:
    """Return the users with two more columns: their pseudonym, and whether they may pass.

    Rows without a user id are left out. A user with several rows passes only where every one of them agrees. Consent
    that was recorded in words nobody can read is no consent, whatever `consent_missing` says.
    """
    known = users.filter(pl.col(USER_ID).is_not_null() & (pl.col(USER_ID) != ""))
    missing = privacy.consent_missing == "allow"
    asked = (CONSENT_PERSONALIZATION, DO_NOT_SELL) if privacy.purpose == "advertising" else (CONSENT_PERSONALIZATION,)
    unclear = pl.any_horizontal(lost(known, column) for column in asked)
    agrees = pl.col(CONSENT_PERSONALIZATION).fill_null(missing)
    sellable = ~pl.col(DO_NOT_SELL).fill_null(not missing) if privacy.purpose == "advertising" else pl.lit(True)
    status = (
        pl.when(unclear)
        .then(pl.lit(UNREADABLE_CONSENT))
        .when(~agrees)
        .then(pl.lit(NO_CONSENT))
        .when(~sellable)
        .then(pl.lit(DO_NOT_SELL_WITHHELD))
        .otherwise(pl.lit(KEPT))
    )
    return known.with_columns(status.alias(STATUS), pseudonymise(known[USER_ID], key).alias(PSEUDONYM))


def mark_erased(rows: pl.DataFrame, is_erased: Callable[[pl.Series], pl.Series]) -> pl.DataFrame:
    """Return rows with pseudonyms in which who was erased does not pass, whatever the source says of consent."""
    status = pl.when(is_erased(rows[PSEUDONYM])).then(pl.lit(ERASED)).otherwise(STATUS)
    return rows.with_columns(status.alias(STATUS))


def register_as_of(register: pl.DataFrame, end: datetime) -> pl.DataFrame:
    """Return the register as it was known just before `end`, with one status for all rows of a user."""
    known = register.filter(pl.col(SIGNED_UP_AT).is_null() | (pl.col(SIGNED_UP_AT) < end))
    refusals = pl.col(STATUS).filter(pl.col(STATUS) != KEPT)
    return known.with_columns(refusals.first().over(USER_ID).fill_null(KEPT).alias(STATUS))


def agrees_to_analytics(users: pl.DataFrame, privacy: PrivacyConfig) -> pl.Series:
    """Return for each row of a users table, behind the door, whether the user may be measured.

    Where consent is not recorded `consent_missing` decides. A table that records it for nobody has not asked: then who
    agreed to personalisation may be measured.
    """
    if CONSENT_ANALYTICS not in users.columns or users[CONSENT_ANALYTICS].is_null().all():
        return pl.repeat(True, len(users), dtype=pl.Boolean, eager=True)
    return users[CONSENT_ANALYTICS].fill_null(privacy.consent_missing == "allow")


def events_for_analytics(interactions: pl.DataFrame, users: pl.DataFrame, privacy: PrivacyConfig) -> pl.DataFrame:
    """Return the events of users who may be measured, in their order; `users` has one row per user."""
    refused = users.filter(~agrees_to_analytics(users, privacy)).select(USER_ID)
    return interactions.join(refused, on=USER_ID, how="anti", maintain_order="left")


def screen_interactions(
    batch: pl.DataFrame,
    register: pl.DataFrame,
    privacy: PrivacyConfig,
    key: PseudonymKey,
    horizon: datetime | None,
    is_erased: Callable[[pl.Series], pl.Series] | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the events that may pass, with raw ids, and one row per status with its count.

    `register` is one as of the partition's end. Events before `horizon` are past retention. Without any user row
    consent is unknown for everybody: then `consent_missing` decides, and `is_erased` tells of pseudonyms who is not to
    pass all the same; a register knows that itself, see `mark_erased`.
    """
    consent = register.unique(USER_ID, keep="first").select(USER_ID, STATUS, PSEUDONYM)
    if consent.is_empty() and privacy.consent_missing == "allow":
        joined = batch.with_columns(pl.lit(KEPT).alias(STATUS), pseudonymise(batch[USER_ID], key).alias(PSEUDONYM))
        joined = joined if is_erased is None else mark_erased(joined, is_erased)
    else:
        joined = batch.join(consent, on=USER_ID, how="left", maintain_order="left")
    expired = pl.lit(False) if horizon is None else (pl.col(TIMESTAMP) < horizon).fill_null(False)
    status = (
        pl.when(expired)
        .then(pl.lit(RETENTION))
        .when(pl.col(USER_ID).is_null() | (pl.col(USER_ID) == ""))
        .then(pl.lit(NO_USER))
        .otherwise(pl.col(STATUS).fill_null(UNKNOWN_USER))
    )
    judged = joined.with_columns(status.alias(STATUS))
    return judged.filter(pl.col(STATUS) == KEPT).drop(STATUS), judged.group_by(STATUS).len("count")


def count_users(register: pl.DataFrame) -> dict[str, int]:
    """Return how many users there are, how many are withheld, and of how many consent is not recorded at all."""
    unrecorded = pl.col(CONSENT_PERSONALIZATION).is_null() & (pl.col(STATUS) != UNREADABLE_CONSENT)
    return {
        "users_read": register[USER_ID].n_unique(),
        "users_withheld": register.filter(pl.col(STATUS) != KEPT)[USER_ID].n_unique(),
        "users_unrecorded": register.filter(unrecorded)[USER_ID].n_unique(),
    }


def why_withheld(counts: Mapping[str, int], forms: Mapping[str, str]) -> str:
    """Say what to set where no event may pass; `counts` are of users and of events by status.

    `forms` holds the usual form of a user id by table where no id of the one is in the other.
    """
    allow = (
        'privacy.consent_missing = "allow" if every user has agreed elsewhere: then all events are used, save of users '
        "recorded as refusing"
    )
    if not counts.get("users_read"):
        return f"no users table says who agreed; map source.users with {CONSENT_PERSONALIZATION}, or set {allow}"
    if forms:
        return (
            f"no user_id of interactions is in users: the form there is {forms['interactions']}, in users "
            f"{forms['users']} (9 a digit, a a letter); write them alike in both tables"
        )
    if counts.get("users_unrecorded") == counts["users_read"]:
        return f"users records consent of nobody; map its column to {CONSENT_PERSONALIZATION}, or set {allow}"
    if counts.get(UNREADABLE_CONSENT):
        return (
            f"answers must be yes, y, true, t, on, 1 or their opposites in {CONSENT_PERSONALIZATION} and {DO_NOT_SELL}"
        )
    return (
        f"check the users' consent columns ({CONSENT_PERSONALIZATION}, {DO_NOT_SELL}) and [privacy]: consent_missing, "
        "purpose and retention_days"
    )


def id_forms(named: pl.Series, known: pl.Series) -> dict[str, str]:
    """Return the usual form of the user ids that events name and of those in users."""
    return {"interactions": usual_form(named), "users": usual_form(known)}


def hide_ids(kept: pl.DataFrame, key: PseudonymKey) -> pl.DataFrame:
    """Replace the user id by its pseudonym, and the ids that may have one inside by masked ones."""
    blank = [pl.when(pl.col(name) == "").then(None).otherwise(pl.col(name)).alias(name) for name in _REFERENCES]
    cleaned = kept.with_columns(blank)
    masked = [mask_references(cleaned[name], key) for name in _REFERENCES]
    return cleaned.with_columns(pl.col(PSEUDONYM).alias(USER_ID), *masked).drop(PSEUDONYM)


_REFERENCES: Final = (EVENT_ID, SESSION_ID, REQUEST_ID)
