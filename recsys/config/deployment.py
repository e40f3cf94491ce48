"""One deployment: all groups of settings, and how they are read."""

import hashlib
import os
import re
import tomllib
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from recsys.config.data import FeaturesConfig, PrivacyConfig, ValidationConfig
from recsys.config.evaluation import BacktestConfig, BlendConfig, EvaluationConfig
from recsys.config.eventlog import EventLogConfig
from recsys.config.frozen import Frozen
from recsys.config.loop import MonitoringConfig, PromotionConfig
from recsys.config.model import ModelConfig, TuningConfig, space_problem
from recsys.config.service import ServiceConfig
from recsys.config.serving import IndexConfig, OnboardingConfig, RerankConfig
from recsys.config.sources import DemoSource, FilesSource, Source, SqlSource
from recsys.config.told import told
from recsys.config.users import UsersConfig
from recsys.errors import ConfigError

_NOT_IN_A_NAME = "/:@'\"#?%"


class Config(Frozen):
    """One deployment. `storage` is the root of all state; `mode = "local"` alone may use the development key.

    `registered_model` is named after the deployment unless it is written.
    """

    name: str = Field(default="demo", min_length=1, max_length=100)
    mode: Literal["local", "production"] = "local"
    storage: str = "state/data"
    partition: Literal["day", "all"] = "day"
    source: Source = DemoSource()
    eventlog: EventLogConfig = EventLogConfig()
    privacy: PrivacyConfig = PrivacyConfig()
    validation: ValidationConfig = ValidationConfig()
    features: FeaturesConfig = FeaturesConfig()
    model: ModelConfig = ModelConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    blend: BlendConfig = BlendConfig()
    index: IndexConfig = IndexConfig()
    rerank: RerankConfig = RerankConfig()
    onboarding: OnboardingConfig = OnboardingConfig()
    users: UsersConfig = UsersConfig()
    service: ServiceConfig = ServiceConfig()
    promotion: PromotionConfig = PromotionConfig()
    monitoring: MonitoringConfig = MonitoringConfig()
    backtest: BacktestConfig = BacktestConfig()
    tuning: TuningConfig = TuningConfig()
    experiment: str = "two_tower"
    registered_model: str = Field(default="", max_length=200)

    @model_validator(mode="after")
    def _model_has_a_name(self) -> "Config":
        if found := sorted(set(_NOT_IN_A_NAME) & set(self.registered_model)):
            raise ValueError(
                f"registered_model must not contain {' '.join(found)}, as MLflow's addresses could not name it; "
                f"got {self.registered_model!r}"
            )
        if not self.registered_model:  # as an unset field, so that a run which overrides `name` gets another model
            object.__setattr__(self, "registered_model", _model_of(self.name))
        return self

    @property
    def timed(self) -> bool:
        """Whether events have times: a source without them says so by `timestamps = "none"`."""
        return not isinstance(self.source, FilesSource | SqlSource) or self.source.interactions.timestamps == "given"

    @model_validator(mode="after")
    def _asks_no_times_where_there_are_none(self) -> "Config":
        if self.timed:
            return self
        wrong = {
            'partition = "all"': self.partition != "all",
            "privacy.retention_days = 0, for how old an event is cannot be known": self.privacy.retention_days > 0,
            "features.window_days = 0": self.features.window_days > 0,
            'model.task = "auto"': self.model.task not in ("auto", "any"),
        }
        if needed := "; ".join(setting for setting, is_wrong in wrong.items() if is_wrong):
            raise ValueError(f'source.interactions.timestamps = "none" needs {needed}')
        return self

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


def _model_of(name: str) -> str:
    """Name the registered model after the deployment, so that two on one MLflow server share nothing by default."""
    allowed = re.sub(r"[^\w.-]", "-", name)
    if allowed == name:
        return f"two_tower-{name}"
    return f"two_tower-{allowed}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"  # `a/b` and `a:b` stay two names


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
