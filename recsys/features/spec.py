"""What training learned about the data: vocabularies, normalisation and where train ended. Fitted on train alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, JsonValue

from recsys.schema import EVENT_KINDS


class FeatureSpec(BaseModel):
    """Vocabularies list the known values; index 0 is padding or unknown, the first value has index 1.

    Times are ISO 8601 in UTC; `numeric_means` and `numeric_stds` belong to log age in days and log duration. With
    `history_since` nothing before it was learned from, and nothing before it enters a history. `usual_values`, where
    events are weighed by value, are the medians that values are compared with, by item id; that of all is under "".
    """

    model_config = ConfigDict(frozen=True)
    item_vocab: list[str]
    user_vocab: list[str]
    category_vocab: list[str]
    creator_vocab: list[str]
    language_vocab: list[str]
    device_vocab: list[str]
    demographic_vocabs: dict[str, list[str]]
    event_kinds: list[str] = list(EVENT_KINDS)
    numeric_means: list[float]
    numeric_stds: list[float]
    text_dim: int
    max_categories: int
    validation_start: str
    test_start: str
    as_of: str
    history_since: str = ""
    usual_values: dict[str, float] = {}
    info: dict[str, JsonValue] = {}

    @property
    def timed(self) -> bool:
        """Whether events have times; without, what is held out was drawn at random."""
        return self.info.get("time") != "unknown"

    def save(self, folder: Path) -> None:
        """Write `spec.json`."""
        (folder / "spec.json").write_text(self.model_dump_json(indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read `spec.json`."""
        return cls.model_validate_json((folder / "spec.json").read_text(encoding="utf-8"))


def encode(values: Sequence[str | None], vocabulary: Sequence[str]) -> NDArray[np.int32]:
    """Return each value's index in a vocabulary, from 1; 0 for a missing or unknown value."""
    places = {value: place for place, value in enumerate(vocabulary, 1)}
    return np.fromiter((places.get(value, 0) if value is not None else 0 for value in values), np.int32, len(values))
