"""When a model is promoted, and when a new one is due."""

from pydantic import Field

from recsys.config.frozen import Frozen


class PromotionConfig(Frozen):
    """What a challenger must show before it becomes champion."""

    margin: float = Field(default=0.0, description="how much better than the champion the lower bound must be")
    tolerance: float = Field(default=0.02, ge=0, description="relative loss against the champion that is still noise")
    n_bootstrap: int = Field(default=1000, ge=100)
    min_lift_over_popularity: float = Field(default=0.0, ge=0)
    require_approval: bool = False


class MonitoringConfig(Frozen):
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
