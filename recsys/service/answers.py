"""What the service answers: plain frozen records, serialised as they stand."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, JsonValue

ItemSource = Literal["model", "cold_start", "exploration", "fallback"]
DegradedStep = Literal["no_state", "no_model", "deadline", "overload"]


@dataclass(frozen=True, slots=True)
class RankedItem:
    """One item of a list; `rank` counts from 1, `propensity` is the chance that this item stood at this rank."""

    item_id: str
    title: str
    score: float
    rank: int
    reason: Annotated[str | None, Field(description="why, in words; null unless explain was asked for")]
    source: ItemSource
    propensity: float


@dataclass(frozen=True, slots=True)
class Experiment:
    """The arm of the experiment that made a list."""

    name: str
    arm: str


@dataclass(frozen=True, slots=True)
class RankedList:
    """What an engine returns for one query.

    `degraded` is None, or the step of the ladder that answered: `no_state` (the user's history could not be read),
    `no_model` (no bundle can be used), `deadline` (the engine took too long), `overload`.
    """

    items: tuple[RankedItem, ...]
    bundle_version: str
    profiling: bool
    experiment: Experiment | None = None
    degraded: DegradedStep | None = None


@dataclass(frozen=True, slots=True)
class RecommendationAnswer:
    """A list with the id of the request it answers; events should repeat that id."""

    items: tuple[RankedItem, ...]
    bundle_version: str
    request_id: str
    experiment: Experiment | None
    degraded: DegradedStep | None
    profiling: bool


@dataclass(frozen=True, slots=True)
class SimilarItem:
    """An item like the one of the request; `rank` counts from 1."""

    item_id: str
    title: str
    score: float
    rank: int


@dataclass(frozen=True, slots=True)
class SimilarItems:
    """Items by likeness, best first."""

    items: tuple[SimilarItem, ...]
    bundle_version: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """How many events were new, and how many had been recorded before."""

    accepted: int
    repeated: int


@dataclass(frozen=True, slots=True)
class Stored:
    """A record that was written or removed."""

    status: Literal["stored", "removed"]


@dataclass(frozen=True, slots=True)
class Receipt:
    """An erasure that has begun; `receipt_id` names it in the erasure log."""

    receipt_id: str


@dataclass(frozen=True, slots=True)
class UserExport:
    """Everything that is kept about one user: rows by the name of the table that holds them."""

    exported_at: datetime
    tables: dict[str, list[dict[str, JsonValue]]]


@dataclass(frozen=True, slots=True)
class OnboardingQuestion:
    """An item to ask about; `familiarity` in [0, 1] is the chance that the newcomer knows it."""

    item_id: str
    title: str
    familiarity: float


@dataclass(frozen=True, slots=True)
class Questions:
    """What to ask next, best first; fewer than asked for when no familiar item is left."""

    questions: tuple[OnboardingQuestion, ...]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One main parameter of the recommendations, in plain words, and how a person can change it."""

    name: str
    description: str
    how_to_change: str


@dataclass(frozen=True, slots=True)
class Parameters:
    """The main parameters of the recommender system, and the options that do without profiling."""

    parameters: tuple[Parameter, ...]
    without_profiling: str


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether lists can be served; `reason` says why not, `refused_swap` why a newer bundle was not taken."""

    ready: bool
    reason: str | None = None
    bundle_version: str | None = None
    refused_swap: str | None = None


@dataclass(frozen=True, slots=True)
class EngineCounts:
    """Numbers for the metrics: bundles swapped in and refused since the start, entries by name of the cache."""

    swaps: int = 0
    refused_swaps: int = 0
    cache_sizes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Health:
    """A process that lives."""

    status: Literal["ok"] = "ok"
