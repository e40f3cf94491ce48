"""The model, and the search for its settings."""

from typing import Literal

from pydantic import Field, ValidationError, field_validator

from recsys.config.frozen import Frozen
from recsys.space import Choice, Domain, FloatRange

# Dimensions of vectors of at most so many items: few are told apart by few, many cost too much. From 100,000 items on
# a step costs the same whatever their number.
_WIDTHS = ((20_000, 64), (50_000, 256), (99_999, 128))
_NARROW = 64


class ModelConfig(Frozen):
    """Two towers, their loss and how long they train."""

    dim: int = Field(
        default=0,
        ge=0,
        le=256,
        description="width of vectors; 0: 64, above 20,000 items 256, above 50,000 128, from 100,000 on 64",
    )
    history_length: int = Field(default=200, ge=1)
    task: Literal["auto", "next", "later", "any"] = Field(
        default="auto",
        description="predict the next event, all later ones, or any from a user's others; auto: as held out",
    )
    batch_size: int = Field(default=1600, ge=2, description="events per step")
    examples_per_epoch: int = Field(default=150_000, ge=1, description="an epoch is one pass, or this much of one")
    epochs: int = Field(default=40, ge=1)
    patience: int = Field(default=10, ge=1, description="epochs without a better validation before training stops")
    learning_rate: float = Field(default=6e-3, gt=0, description="peak of the schedule for up to 64 dimensions")
    l2: float = Field(default=1.0, ge=0, description="decoupled weight decay at 100,000 events; in inverse proportion")
    dropout: float = Field(default=0.2, ge=0, lt=1)
    history_dropout: float = Field(default=0.1, ge=0, lt=1, description="share of a history hidden while training")
    id_dropout: float = Field(default=0.1, ge=0, lt=1, description="share of item ids masked while training")
    user_id_dropout: float = Field(default=0.9, ge=0, le=1, description="share of user ids masked while training")
    warm_start: bool = Field(
        default=False, description="go on from the champion's towers where widths agree, instead of starting anew"
    )
    loss: Literal["auto", "full", "sampled"] = "auto"
    full_softmax_max_items: int = Field(default=5_000, ge=0, description="larger catalogues are sampled: cheaper")
    n_negatives: int = Field(default=4096, ge=1, description="items drawn per step when the loss is sampled")
    hard_share: float = Field(default=0.5, ge=0, le=1, description="of them, items of people alike: hard negatives")
    seed: int = 11

    @field_validator("dim")
    @classmethod
    def _wide_enough(cls, dim: int) -> int:
        if 0 < dim < 4:
            raise ValueError(f"dim must be 0 (by the catalogue) or 4 to 256; got {dim}")
        return dim

    @property
    def n_hard(self) -> int:
        """The items drawn per step that are hard negatives."""
        return round(self.hard_share * self.n_negatives)

    def scores_all(self, n_items: int) -> bool:
        """Return whether the loss is over a whole catalogue, not a sample of it."""
        return self.loss == "full" or (self.loss == "auto" and n_items <= self.full_softmax_max_items)

    def width(self, n_items: int) -> int:
        """Return the dimension of vectors for a catalogue."""
        return self.dim or next((width for most, width in _WIDTHS if n_items <= most), _NARROW)


class TuningConfig(Frozen):
    """Which settings of `[model]` a search may try, how long, and whether trainings use what it found."""

    use_tuned: bool = Field(default=True, description="train with the settings adopted in the registry")
    study: str = Field(default="", pattern=r"^[\w.-]*$", description="empty: named after the data and the space")
    n_trials: int = Field(default=20, ge=1, le=1000, description="trials of a study, the current settings among them")
    parallel: int = Field(default=2, ge=1, description="trials Airflow runs at once")
    timeout_s: float = Field(default=0.0, ge=0, description="seconds after which no trial starts; 0 is no limit")
    pruner: Literal["median", "hyperband", "none"] = "median"
    warmup_epochs: int = Field(default=2, ge=0, description="epochs before a trial may be stopped")
    startup_trials: int = Field(default=5, ge=1, description="trials before sampler and pruner learn from others")
    seed: int = 17
    space: dict[str, Domain] = Field(
        default={
            "learning_rate": FloatRange(low=1e-3, high=2e-2, log=True),
            "l2": FloatRange(low=0.03, high=10.0, log=True),
            "dropout": FloatRange(low=0.0, high=0.6),
            "history_dropout": FloatRange(low=0.0, high=0.6),
            "dim": Choice(values=(32, 64, 96, 128)),
        }
    )


def space_problem(model: ModelConfig, name: str, domain: Domain) -> str | None:
    """Return why a setting cannot be searched so; None when every value at the edges is a valid `[model]`."""
    if name not in ModelConfig.model_fields or name == "seed":
        known = ", ".join(sorted(set(ModelConfig.model_fields) - {"seed"}))
        return f"tuning.space.{name} is no setting of [model] that can be searched; there are {known}"
    for value in domain.edges:
        try:
            tried = ModelConfig.model_validate({**model.model_dump(), name: value})
        except ValidationError as error:
            return f"tuning.space.{name} reaches {value!r}, which [model] refuses: {error.errors()[0]['msg']}"
        if domain.kind == "float" and isinstance(getattr(tried, name), int):
            return f'tuning.space.{name} is searched as kind = "float", but counts whole numbers; use kind = "int"'
    return None
