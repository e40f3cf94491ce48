"""When a model is promoted, and when a new one is due."""

from pydantic import Field

from recsys.config.frozen import Frozen


class PromotionConfig(Frozen):
    """What a challenger must show before it becomes champion; a run cannot change it."""

    error_rate: float = Field(
        default=0.05, gt=0, lt=0.5, description="chance that a challenger which is no better passes a comparison"
    )
    margin: float = Field(
        default=0.0, ge=-1, description="share of the champion's mean by which the lower bound must be better"
    )
    seed_spread: float = Field(
        default=0.01, ge=0, description="standard deviation of a training's mean over its seeds, as a share of the mean"
    )
    min_users: int = Field(default=50, ge=2, description="users below which a comparison is undecided")
    min_slice_users: int = Field(default=20, ge=2, description="users below which nothing is said about a slice")
    slice_tolerance: float = Field(
        default=0.1, ge=0, description="share of a slice's mean that may be lost and still count as no worse"
    )
    refit_floor: float = Field(
        default=0.9, ge=0, description="share of the judged towers' mean that those trained on all days must reach"
    )
    min_parity: float = Field(default=0.98, gt=0, le=1, description="share of judged lists that must be served")
    n_bootstrap: int = Field(default=1000, ge=100)
    min_lift_over_popularity: float = Field(default=0.0, ge=0)
    require_approval: bool = False


class MonitoringConfig(Frozen):
    """When drift is worth a retraining."""

    window_days: int = Field(default=3, ge=1)
    reference_days: int = Field(
        default=28,
        ge=1,
        description="the champion's last days that fresh events are compared with, at most half of all it saw",
    )
    max_psi: float = Field(default=0.25, gt=0)
    max_js: float = Field(default=0.1, gt=0)
    max_ks: float = Field(default=0.15, gt=0)
    max_embedding_shift: float = Field(default=0.2, gt=0)
    max_ndcg_drop: float = Field(default=0.3, gt=0, description="relative fall of nDCG@10 on fresh events")
    min_signals: int = Field(default=2, ge=1, description="measures over their limit that make a decision")
    cooldown_days: int = Field(default=3, ge=0)
    min_events: int = Field(default=200, ge=1, description="fresh positive events below which nothing is decided")
    n_null_windows: int = Field(default=14, ge=2, description="comparisons inside the reference that measure noise")
    seed: int = 13
