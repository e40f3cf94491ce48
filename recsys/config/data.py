"""What may pass the door, what is a bad row, what counts as taste."""

from typing import Literal

from pydantic import Field

from recsys.config.frozen import Frozen
from recsys.schema import EventKind


class PrivacyConfig(Frozen):
    """What may pass the door, and how much detail goes with it."""

    purpose: Literal["personalization", "advertising"] = Field(
        default="personalization", description="advertising also withholds users with do_not_sell"
    )
    consent_missing: Literal["withhold", "allow"] = Field(
        default="withhold", description="what to do with users whose consent is not recorded"
    )
    retention_days: int = Field(default=0, ge=0, description="drop events older than this before the run; 0 keeps all")
    age_bands: tuple[int, ...] = (18, 25, 35, 45, 55, 65)
    location_parts: int = Field(default=1, ge=0, description="parts of a '/'-separated location that are kept")
    key_env: str = "RECSYS_PSEUDONYM_KEY"
    key_file_env: str = "RECSYS_PSEUDONYM_KEY_FILE"
    erasure_days: int = Field(default=30, ge=1, description="days after which an open order of erasure is overdue")
    certificate_key_file_env: str = Field(
        default="RECSYS_CERTIFICATE_KEY_FILE",
        min_length=1,
        description="environment variable naming a PEM file of an Ed25519 private key that signs certificates of "
        "erasure; unset: they are sealed with the pseudonym key",
    )


class ValidationConfig(Frozen):
    """Where bad rows stop being an accident."""

    max_bad_fraction: float = Field(default=0.05, ge=0, le=1, description="share of quarantined rows a table may have")
    max_volume_ratio: float = Field(default=5.0, gt=1, description="allowed change of a partition's rows, either way")
    max_value: float = Field(default=86_400.0, description="largest rating or seconds watched")
    max_gap_days: int = Field(
        default=366, ge=0, description="events further than this from all others are bad rows; 0 accepts any time"
    )
    batch_rows: int = Field(default=1_000_000, ge=1, description="rows validated at a time; bounds memory")
    max_copied_share: float = Field(
        default=0.5, ge=0, le=1, description="share of a day's events that the day before may have at the same time"
    )
    max_hour_shift: int = Field(
        default=1, ge=0, le=12, description="hours by which a day may fit the days before better; 12 accepts any"
    )
    max_top_item_share: float = Field(
        default=0.5, ge=0, le=1, description="share of positive events that one item may have"
    )
    max_top_item_rise: float = Field(
        default=10.0, ge=1, description="allowed growth of the leading item's share, from a fifth of all on"
    )
    max_emptied_share: float = Field(
        default=0.5, ge=0, le=1, description="share of a column's values that may be gone since the days before"
    )
    max_changed_share: float = Field(
        default=0.5, ge=0, description="share of a column's values that may have changed; 1 is values dealt anew"
    )
    volatile_columns: tuple[str, ...] = Field(
        default=(), description="columns of users and items whose values may vanish or change from day to day"
    )


class FeaturesConfig(Frozen):
    """What counts as taste, what is rare, and where train ends."""

    event_weights: dict[EventKind, float] = Field(
        default={
            "impression": 0.0,
            "view": 1.0,
            "click": 1.0,
            "like": 2.0,
            "dislike": 0.0,
            "share": 2.0,
            "save": 2.0,
            "rating": 1.0,
            "add_to_cart": 2.0,
            "purchase": 3.0,
        }
    )
    watch_ratio_weight: float = Field(
        default=0.0, ge=0, le=1, description="how much of a view's weight depends on the share of the item watched"
    )
    value_weight: Literal["none", "log", "threshold"] = Field(
        default="none", description="how the value of a view, such as hours or plays, changes its weight"
    )
    value_relative_to: Literal["item", "user", "nothing"] = Field(
        default="item", description="whose median in train a value is divided by"
    )
    value_threshold: float = Field(default=0.5, gt=0, description="medians from which a view counts at all")
    value_events: tuple[EventKind, ...] = Field(default=("view",), description="kinds whose value is weighed so")
    min_rating: float = Field(default=0.0, description="a rating below this is no positive event")
    min_user_events: int = Field(default=2, ge=1, description="training users with fewer positive events are left out")
    min_item_events: int = Field(
        default=3, ge=1, description="items with fewer train positives have no id of their own"
    )
    validation_fraction: float = Field(default=0.1, gt=0, lt=0.5, description="last share of the time before test")
    test_fraction: float = Field(default=0.1, gt=0, lt=0.5, description="last share of positive events, by time")
    held_out_days: int = Field(
        default=0,
        ge=0,
        description="days held out for validation and for test each; 0: the shares above",
    )
    fit_days: int | Literal["auto"] = Field(
        default=0, description="last days that are learned from; 0: all; auto: what validation asks for"
    )
    holdout_seed: int = Field(default=23, description="draws validation and test where events have no times")
    max_user_events: int = Field(
        default=0,
        ge=0,
        description="positive events of a user that count, the most recent of each of train, validation and test; 0: "
        "5 times what 99 % of users have in train, at least 500",
    )
    window_days: int = Field(default=0, ge=0, description="days of history a training run reads; 0 reads all")
    user_columns: tuple[str, ...] = ("age", "gender", "location", "occupation")
    text_dim: int = Field(default=128, ge=1)
    max_categories: int = Field(default=6, ge=1)
