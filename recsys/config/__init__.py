"""Configuration: frozen models read from TOML for behaviour, from the environment for endpoints and secrets."""

from recsys.config.data import FeaturesConfig, PrivacyConfig, ValidationConfig
from recsys.config.deployment import Config, load_config
from recsys.config.evaluation import BacktestConfig, BlendConfig, EvaluationConfig, Protocol
from recsys.config.eventlog import EventLogConfig
from recsys.config.loop import MonitoringConfig, PromotionConfig
from recsys.config.model import ModelConfig, TuningConfig
from recsys.config.service import ServiceConfig
from recsys.config.serving import IndexConfig, OnboardingConfig, RerankConfig
from recsys.config.sources import (
    DemoSource,
    FilesBeside,
    FilesSource,
    LogSource,
    MovieLensSource,
    Source,
    SqlBeside,
    SqlSource,
    TableMapping,
)
from recsys.config.users import UsersConfig, check_store

__all__ = [
    "BacktestConfig",
    "BlendConfig",
    "Config",
    "DemoSource",
    "EvaluationConfig",
    "EventLogConfig",
    "FeaturesConfig",
    "FilesBeside",
    "FilesSource",
    "IndexConfig",
    "LogSource",
    "ModelConfig",
    "MonitoringConfig",
    "MovieLensSource",
    "OnboardingConfig",
    "PrivacyConfig",
    "PromotionConfig",
    "Protocol",
    "RerankConfig",
    "ServiceConfig",
    "Source",
    "SqlBeside",
    "SqlSource",
    "TableMapping",
    "TuningConfig",
    "UsersConfig",
    "ValidationConfig",
    "check_store",
    "load_config",
]
