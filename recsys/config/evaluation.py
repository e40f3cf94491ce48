"""How models are measured: in the loop, and in a backtest."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from recsys.config.frozen import Frozen

CutOffs = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)]
_ACCURACY = ("recall", "precision", "ndcg", "map", "mrr", "hit_rate")


class EvaluationConfig(Frozen):
    """Cut-offs and baselines."""

    ks: CutOffs = (10, 20, 50)
    main_metric: str = "ndcg_at_10"
    knn_neighbours: int = Field(default=100, ge=1)
    recent_days: int = Field(default=7, ge=1, description="window of the recent-popularity baseline")
    max_users: int = Field(
        default=20_000, ge=1, description="test users, drawn with the run's seed when there are more"
    )
    seed: int = 5


class BlendConfig(Frozen):
    """How item-item and popularity evidence is blended with the towers' scores; weights are chosen on validation."""

    enabled: bool = Field(default=True, description="false: the towers alone are judged and served")
    ease_l2: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        default=(100.0, 300.0, 1000.0), min_length=1, description="tried on validation; the best is kept"
    )
    ease_max_items: int = Field(default=10_000, ge=0, description="larger catalogues get a graph filter")
    max_entries: int = Field(
        default=2**24, ge=1, description="entries of an item-item matrix that are kept, the largest of each row"
    )
    max_users: int = Field(default=5000, ge=1, description="validation users that weights are chosen on")
    n_candidates: int = Field(default=50, ge=10, description="best items of each component that compete there")
    min_gain: float = Field(
        default=1.0, ge=0, description="standard errors by which a component must raise validation nDCG to enter"
    )
    item_item_weight: float = Field(
        default=0.125,
        ge=0,
        description="beside the towers' 1, of item-item evidence that did not enter, unless validation is that much "
        "better without; 0: it stays out",
    )
    content: bool = Field(default=False, description="weigh what content predicts of items without events")
    full_max_items: int = Field(
        default=200_000,
        ge=1,
        description="larger catalogues are served from index, neighbours and popular items; up to there a product with "
        "every item takes a core less time than the index",
    )
    n_retrieved: int = Field(default=500, ge=1, description="items that each of those contributes")


Protocol = Literal["temporal", "leave_one_out", "user_holdout", "rolling", "item_cold", "files"]


class BacktestConfig(Frozen):
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
    models: tuple[str, ...] = Field(
        default=("two_tower", "ease", "item_knn", "popularity", "recent_popularity", "random"), min_length=1
    )
    recommendations: dict[str, str] = Field(
        default={}, description="name -> Parquet of another program's lists, measured in the same run"
    )
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(default=(11,), min_length=1)
    ks: CutOffs = (10, 20, 50)
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
        for name in ("ks", "seeds", "models", "folds"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"backtest.{name} must not repeat; got {', '.join(map(str, values))}")
        return self
