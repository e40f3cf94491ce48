"""One deployment: all groups of settings, and how they are read."""

import os
import tomllib
from pathlib import Path
from typing import Literal

from pydantic import ValidationError, model_validator

from recsys.config.data import FeaturesConfig, PrivacyConfig, ValidationConfig
from recsys.config.evaluation import BacktestConfig, BlendConfig, EvaluationConfig
from recsys.config.frozen import Frozen
from recsys.config.loop import MonitoringConfig, PromotionConfig
from recsys.config.model import ModelConfig, TuningConfig, space_problem
from recsys.config.serving import IndexConfig, OnboardingConfig, RerankConfig
from recsys.config.sources import DemoSource, Source
from recsys.config.told import told
from recsys.errors import ConfigError


class Config(Frozen):
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
        problems = [space_problem(self.model, name, domain) for name, domain in self.tuning.space.items()]
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
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read the configuration {chosen}: {error}") from error
    except ValidationError as error:
        raise ConfigError(f"{chosen or 'the configuration'} is not valid: {told(error, Config)}") from error
