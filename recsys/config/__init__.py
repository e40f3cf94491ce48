"""Configuration: frozen models read from TOML for behaviour, from the environment for endpoints and secrets."""

from recsys.config.data import FeaturesConfig, PrivacyConfig, ValidationConfig
from recsys.config.deployment import Config, load_config
from recsys.config.evaluation import BacktestConfig, BlendConfig, EvaluationConfig, Protocol
from recsys.config.loop import MonitoringConfig, PromotionConfig
from recsys.config.model import ModelConfig, TuningConfig
from recsys.config.service import ServiceConfig
from recsys.config.serving import IndexConfig, OnboardingConfig, RerankConfig
from recsys.config.sources import DemoSource, FilesSource, MovieLensSource, Source, SqlSource, TableMapping

__all__ = [
    "BacktestConfig",
    "BlendConfig",
    "Config",
    "DemoSource",
    "EvaluationConfig",
    "FeaturesConfig",
    "FilesSource",
    "IndexConfig",
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
    "SqlSource",
    "TableMapping",
    "TuningConfig",
    "ValidationConfig",
    "load_config",
]
