"""Configuration: frozen models read from TOML for behaviour, from the environment for endpoints and secrets."""

import os
import tomllib
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from recsys.errors import ConfigError
from recsys.schema import EventKind
from recsys.space import Choice, Domain, FloatRange

_ACCURACY = ("recall", "precision", "ndcg", "map", "mrr", "hit_rate")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DemoSource(_Frozen):
    """The built-in world: `scale` multiplies users and items; a taste shift may begin on a day."""

    kind: Literal["demo"] = "demo"
    seed: int = 7
    start: date = date(2026, 1, 1)
    days: int = Field(default=60, ge=1, description="days of the world that exist")
    scale: float = Field(default=1.0, gt=0, description="1 is about 300 k events in 60 days")
    n_items: int = Field(default=1000, ge=1)
    shift_from: date | None = Field(default=None, description="first day on which tastes have shifted")


class MovieLensSource(_Frozen):
    """A MovieLens release in `path`; `""` downloads it from GroupLens into the storage root."""

    kind: Literal["movielens"] = "movielens"
    release: Literal["100k", "1m", "latest-small"] = "1m"
    path: str = ""


class TableMapping(_Frozen):
    """Where a table is and which of its columns mean what: `columns` maps contract names to the source's names."""

    uri: str = Field(default="", description="path, glob or fsspec URI of CSV, Parquet or JSON lines files")
    query: str = Field(default="", description="SQL text, for the SQL source")
    format: Literal["auto", "csv", "parquet", "jsonl"] = "auto"
    separator: str = ","
    encoding: str = "utf8"
    columns: dict[str, str] = {}
    constants: dict[str, str | float | bool] = Field(default={}, description="contract column -> fixed value")
    ignore: tuple[str, ...] = Field(default=(), description="source columns left out on purpose")
    extra: tuple[str, ...] = Field(default=(), description="further columns that are categorical features")
    timestamp_unit: Literal["iso", "s", "ms", "us"] = "iso"
    list_separator: str = "|"


class FilesSource(_Frozen):
    """CSV, Parquet or JSON lines, local or on any fsspec file system."""

    kind: Literal["files"] = "files"
    interactions: TableMapping
    users: TableMapping = TableMapping()
    items: TableMapping = TableMapping()


class SqlSource(_Frozen):
    """Any SQLAlchemy URL, read from the environment variable `url_env` so that no secret stands in a file."""

    kind: Literal["sql"] = "sql"
    url_env: str = "RECSYS_SQL_URL"
    interactions: TableMapping
    users: TableMapping = TableMapping()
    items: TableMapping = TableMapping()
    batch_rows: int = Field(default=100_000, ge=1)


Source = Annotated[DemoSource | MovieLensSource | FilesSource | SqlSource, Field(discriminator="kind")]


class PrivacyConfig(_Frozen):
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


class ValidationConfig(_Frozen):
    """Where bad rows stop being an accident."""

    max_bad_fraction: float = Field(default=0.05, ge=0, le=1, description="share of quarantined rows a table may have")
    max_volume_ratio: float = Field(default=5.0, gt=1, description="allowed change of a partition's rows, either way")
    max_value: float = Field(default=86_400.0, description="largest rating or seconds watched")
    batch_rows: int = Field(default=1_000_000, ge=1, description="rows validated at a time; bounds memory")


class FeaturesConfig(_Frozen):
    """What counts as taste, what is rare, and where train ends."""

    event_weights: dict[EventKind, float] = {
        "impression": 0.0,
        "view": 1.0,
        "click": 1.0,
        "like": 2.0,
        "dislike": 0.0,
        "share": 2.0,
        "save": 2.0,
        "rating": 1.0,
    }
    watch_ratio_weight: float = Field(
        default=0.0, ge=0, le=1, description="how much of a view's weight depends on the share of the item watched"
    )
    min_rating: float = Field(default=0.0, description="a rating below this is no positive event")
    min_user_events: int = Field(default=2, ge=1, description="training users with fewer positive events are left out")
    min_item_events: int = Field(
        default=3, ge=1, description="items with fewer train positives have no id of their own"
    )
    validation_fraction: float = Field(default=0.1, gt=0, lt=0.5, description="last share of the time before test")
    test_fraction: float = Field(default=0.1, gt=0, lt=0.5, description="last share of positive events, by time")
    window_days: int = Field(default=0, ge=0, description="days of history a training run reads; 0 reads all")
    user_columns: tuple[str, ...] = ("age", "gender", "location", "occupation")
    text_dim: int = Field(default=128, ge=1)
    max_categories: int = Field(default=6, ge=1)


class ModelConfig(_Frozen):
    """Two towers, their loss and how long they train."""

    dim: int = Field(default=64, ge=4, le=256)
    history_length: int = Field(default=200, ge=1)
    task: Literal["auto", "next", "later", "any"] = Field(
        default="auto",
        description="predict the next event, all later ones, or any from a user's others; auto: as held out",
    )
    batch_size: int = Field(default=1600, ge=2, description="events per step")
    examples_per_epoch: int = Field(default=150_000, ge=1, description="an epoch is one pass, or this much of one")
    epochs: int = Field(default=40, ge=1)
    patience: int = Field(default=10, ge=1, description="epochs without a better validation before training stops")
    learning_rate: float = Field(default=6e-3, gt=0, description="peak of the schedule")
    l2: float = Field(default=1.0, ge=0, description="decoupled weight decay at 100,000 events; in inverse proportion")
    dropout: float = Field(default=0.2, ge=0, lt=1)
    history_dropout: float = Field(default=0.1, ge=0, lt=1, description="share of a history hidden while training")
    id_dropout: float = Field(default=0.1, ge=0, lt=1, description="share of item ids masked while training")
    user_id_dropout: float = Field(default=0.9, ge=0, le=1, description="share of user ids masked while training")
    loss: Literal["auto", "full", "sampled"] = "auto"
    full_softmax_max_items: int = 15_000
    n_negatives: int = Field(default=4096, ge=1, description="items drawn per step when the loss is sampled")
    seed: int = 11


class EvaluationConfig(_Frozen):
    """Cut-offs and baselines."""

    ks: tuple[int, ...] = (10, 20, 50)
    main_metric: str = "ndcg_at_10"
    knn_neighbours: int = Field(default=100, ge=1)
    recent_days: int = Field(default=7, ge=1, description="window of the recent-popularity baseline")
    max_users: int = Field(
        default=20_000, ge=1, description="test users, drawn with the run's seed when there are more"
    )
    seed: int = 5


class BlendConfig(_Frozen):
    """How item-item and popularity evidence is blended with the towers' scores; weights are chosen on validation."""

    enabled: bool = Field(default=True, description="false: the towers alone are judged and served")
    ease_l2: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        default=(100.0, 300.0, 1000.0), min_length=1, description="tried on validation; the best is kept"
    )
    ease_max_items: int = Field(default=10_000, ge=0, description="larger catalogues get item-kNN instead of EASE")
    max_entries: int = Field(
        default=2**24, ge=1, description="entries of an item-item matrix that are kept, the largest of each row"
    )
    max_users: int = Field(default=2000, ge=1, description="validation users that weights are chosen on")
    n_candidates: int = Field(default=50, ge=10, description="best items of each component that compete there")
    min_gain: float = Field(
        default=1.0, ge=0, description="standard errors by which a component must raise validation nDCG to enter"
    )
    full_max_items: int = Field(
        default=50_000, ge=1, description="larger catalogues are served from index, neighbours and popular items"
    )
    n_retrieved: int = Field(default=500, ge=1, description="items that each of those contributes")


class RerankConfig(_Frozen):
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


class OnboardingConfig(_Frozen):
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


class IndexConfig(_Frozen):
    """The Annoy index and how closely it must follow exact search."""

    n_trees: int = Field(default=50, ge=1)
    min_recall: float = Field(default=0.98, gt=0, le=1)
    recall_k: int = Field(default=100, ge=1)
    n_queries: int = Field(default=500, ge=1)
    seed: int = 3


class PromotionConfig(_Frozen):
    """What a challenger must show before it becomes champion."""

    margin: float = Field(default=0.0, description="how much better than the champion the lower bound must be")
    tolerance: float = Field(default=0.02, ge=0, description="relative loss against the champion that is still noise")
    n_bootstrap: int = Field(default=1000, ge=100)
    min_lift_over_popularity: float = Field(default=0.0, ge=0)
    require_approval: bool = False


class MonitoringConfig(_Frozen):
    """When drift is worth a retraining."""

    window_days: int = Field(default=3, ge=1)
    max_psi: float = Field(default=0.25, gt=0)
    max_js: float = Field(default=0.1, gt=0)
    max_ks: float = Field(default=0.15, gt=0)
    max_embedding_shift: float = Field(default=0.2, gt=0)
    max_ndcg_drop: float = Field(default=0.3, gt=0, description="relative fall of nDCG@10 on fresh events")
    min_signals: int = Field(default=2, ge=1, description="signals over their limit that make a decision")
    cooldown_days: int = Field(default=3, ge=0)
    min_events: int = Field(default=200, ge=1, description="fresh positive events below which nothing is decided")
    n_null_windows: int = Field(default=8, ge=2, description="comparisons inside the reference that measure noise")
    seed: int = 13


Protocol = Literal["temporal", "leave_one_out", "user_holdout", "rolling", "item_cold", "files"]


class BacktestConfig(_Frozen):
    """How a backtest divides the data, which models it fits and how it measures them.

    `{fold}` in a URI stands for each of `folds`, so that published folds are one configuration.
    """

    protocol: Protocol = "temporal"
    order_column: str = Field(default="", description="extra interactions column that orders a user's events")
    min_core: int = Field(default=0, ge=0, description="users and items keep at least this many positives; 0 keeps all")
    validation_share: float = Field(
        default=0.1, ge=0, lt=1, description="share of train (events, users or items) that early stopping listens to"
    )
    held: Literal["random", "last"] = Field(
        default="random", description="which of a user's events are held out (user_holdout; validation of files)"
    )
    n_folds: int = Field(default=3, ge=1, description="rolling: test windows of features.test_fraction each")
    holdout_users: float = Field(default=0.1, gt=0, lt=1, description="user_holdout: share of users held out")
    known_share: float = Field(default=0.8, gt=0, lt=1, description="user_holdout: share of their events that is known")
    cold_items: str = Field(default="", description="item_cold: address of a table of held-out item ids")
    cold_items_column: str = Field(default="", description="item_cold: its column; by default the first")
    train: str = Field(default="", description="files: training interactions; default: source.interactions.uri")
    validated: str = Field(default="", description="files: validation interactions; default: a share of train")
    test: str = Field(default="", description="files: test interactions")
    folds: tuple[str, ...] = Field(default=(), description="files, item_cold: what {fold} in the addresses stands for")
    models: tuple[str, ...] = ("two_tower", "ease", "item_knn", "popularity", "recent_popularity", "random")
    recommendations: dict[str, str] = Field(
        default={}, description="name -> Parquet of another program's lists, measured in the same run"
    )
    seeds: tuple[int, ...] = Field(default=(11,), min_length=1)
    ks: tuple[int, ...] = Field(default=(10, 20, 50), min_length=1)
    main_metric: str = "ndcg_at_10"
    recall_denominator: Literal["min_k", "relevant"] = Field(
        default="min_k", description="recall divides by min(k, relevant) or by relevant"
    )
    must_beat_popularity: bool = Field(default=True, description="whether the first model failing this fails the run")
    refit: bool = Field(default=False, description="train again on train and validation, as long as validation said")
    ease_l2: float = Field(default=300.0, gt=0)
    ease_max_items: int = Field(default=20_000, ge=1, description="EASE covers the most frequent items of a larger set")
    n_bootstrap: int = Field(default=1000, ge=100)

    @model_validator(mode="after")
    def _settings_agree(self) -> "BacktestConfig":
        metrics = {f"{name}_at_{k}" for name in _ACCURACY for k in self.ks}
        if self.main_metric not in metrics:
            raise ValueError(
                f"backtest.main_metric must be one of {', '.join(_ACCURACY)} followed by _at_k for a k in "
                f"backtest.ks {self.ks}; got {self.main_metric!r}"
            )
        needed = {"item_cold": ("cold_items", self.cold_items), "files": ("test", self.test)}
        name, value = needed.get(self.protocol, ("", "unused"))
        if not value:
            raise ValueError(f"backtest.{name} must be set with protocol {self.protocol!r}")
        if self.folds and not any("{fold}" in uri for uri in (self.train, self.validated, self.test, self.cold_items)):
            raise ValueError("backtest.folds is set, but no address holds {fold}; got the same data for every fold")
        if min(self.ks) < 1 or len(set(self.seeds)) < len(self.seeds) or len(set(self.models)) < len(self.models):
            raise ValueError("backtest.ks must be >= 1, and seeds and models must not repeat")
        return self


class TuningConfig(_Frozen):
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
    space: dict[str, Domain] = {
        "learning_rate": FloatRange(low=1e-3, high=2e-2, log=True),
        "l2": FloatRange(low=0.03, high=10.0, log=True),
        "dropout": FloatRange(low=0.0, high=0.6),
        "history_dropout": FloatRange(low=0.0, high=0.6),
        "dim": Choice(values=(32, 64, 96, 128)),
    }


def _space_problem(model: ModelConfig, name: str, domain: Domain) -> str | None:
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


class Config(_Frozen):
    """One deployment. `storage` is the root of all state; `mode = "local"` alone may use the development key."""

    name: str = "demo"
    mode: Literal["local", "production"] = "local"
    storage: str = "state/data"
    partition: Literal["day", "all"] = "day"
    source: Source = DemoSource()
    privacy: PrivacyConfig = PrivacyConfig()
    validation: ValidationConfig = ValidationConfig()
    features: FeaturesConfig = FeaturesConfig()
    model: ModelConfig = ModelConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    blend: BlendConfig = BlendConfig()
    index: IndexConfig = IndexConfig()
    rerank: RerankConfig = RerankConfig()
    onboarding: OnboardingConfig = OnboardingConfig()
    promotion: PromotionConfig = PromotionConfig()
    monitoring: MonitoringConfig = MonitoringConfig()
    backtest: BacktestConfig = BacktestConfig()
    tuning: TuningConfig = TuningConfig()
    experiment: str = "two_tower"
    registered_model: str = "two_tower"

    @model_validator(mode="after")
    def _main_metric_is_computed(self) -> "Config":
        if self.evaluation.main_metric not in {f"ndcg_at_{k}" for k in self.evaluation.ks}:
            raise ValueError(
                f"evaluation.main_metric must be ndcg_at_k for a k in evaluation.ks {self.evaluation.ks}; "
                f"got {self.evaluation.main_metric!r}"
            )
        return self

    @model_validator(mode="after")
    def _space_fits_the_model(self) -> "Config":
        problems = [_space_problem(self.model, name, domain) for name, domain in self.tuning.space.items()]
        if found := "; ".join(problem for problem in problems if problem):
            raise ValueError(found)
        return self


def load_config(path: str | Path | None = None) -> Config:
    """Read a TOML file, or the file named by `RECSYS_CONFIG`, or the defaults; the environment names the places.

    `RECSYS_STORAGE` replaces `storage`. Raises ConfigError naming each wrong setting.
    """
    chosen = path or os.environ.get("RECSYS_CONFIG")
    settings: dict[str, object] = {}
    try:
        if chosen:
            settings = tomllib.loads(Path(chosen).read_text(encoding="utf-8"))
        if storage := os.environ.get("RECSYS_STORAGE"):
            settings["storage"] = storage
        return Config.model_validate(settings)
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read the configuration {chosen}: {error}") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'config'}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"{chosen or 'the configuration'} is not valid: {problems}") from error
