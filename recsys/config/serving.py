"""What is served: lists, questions to newcomers, the index behind them."""

from typing import Literal

from pydantic import Field, model_validator

from recsys.config.frozen import Frozen


class RerankConfig(Frozen):
    """What a list should be beyond accurate; all off by default, as each has a price in accuracy."""

    method: Literal["none", "mmr", "dpp"] = "none"
    diversity: float = Field(default=0.0, ge=0, lt=1, description="0 keeps the order of scores; weight of diversity")
    popularity_penalty: float = Field(
        default=0.0, ge=0, description="standard deviations of score that one of log popularity costs"
    )
    n_candidates: int = Field(default=100, ge=1, description="best items by score among which the list is chosen")

    @model_validator(mode="after")
    def _diversity_has_a_method(self) -> "RerankConfig":
        if self.diversity and self.method == "none":
            raise ValueError(f"rerank.diversity {self.diversity} needs rerank.method mmr or dpp; got 'none'")
        return self

    @property
    def active(self) -> bool:
        """Whether anything is reordered at all."""
        return self.diversity > 0 or self.popularity_penalty > 0


class OnboardingConfig(Frozen):
    """Which items a newcomer may be asked about, and how much the answers count."""

    n_pool: int = Field(default=200, ge=1, description="best-known items among which questions are chosen")
    min_familiarity: float = Field(
        default=0.1, ge=0, le=1, description="share of the newcomer's segment that must know an item to be asked"
    )
    diversity: float = Field(default=0.1, ge=0, description="worth of a question lost by likeness to one asked before")
    ridge: float = Field(default=0.05, gt=0, description="noise of an answer, in mean variances of the indicators")
    max_targets: int = Field(default=5000, ge=1, description="most liked items whose chance to be liked is predicted")
    n_hot: int = Field(default=600, ge=10, description="most liked items that a question's worth is computed on")
    taste_weight: float = Field(default=2.0, ge=0, description="weight of the answers' posterior beside the towers")
    prior_weight: float = Field(
        default=0.5, ge=0, description="weight beside the towers of what people alike turn to, before any answer"
    )


class IndexConfig(Frozen):
    """The Annoy index and how closely it must follow exact search."""

    n_trees: int = Field(default=50, ge=1)
    min_recall: float = Field(default=0.98, gt=0, le=1)
    recall_k: int = Field(default=100, ge=1)
    n_queries: int = Field(default=500, ge=1)
    seed: int = 3
