"""Registry's one door: bundles, MLflow runs and versions, promotion and its ledger.

Serving needs bundles and nothing else from here, and MLflow takes seconds to import: its modules load on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from recsys.registry.bundle import Bundle, BundleInfo, load_bundle, write_bundle
from recsys.registry.ledger import append_decision, ledger_uri, verify_ledger

if TYPE_CHECKING:
    from recsys.registry.connection import run_url, tracking_uri, version_url
    from recsys.registry.mlflow_runs import (
        RunRef,
        close_run,
        log_dataset,
        log_epoch,
        log_evaluation,
        log_figures,
        log_metrics,
        log_text,
        open_run,
    )
    from recsys.registry.model_card import render_model_card
    from recsys.registry.promotion import Decision, Evidence, Gate, decide_promotion
    from recsys.registry.pyfunc import log_pyfunc, serve_as_pyfunc
    from recsys.registry.versions import (
        ModelVersion,
        by_alias,
        champion,
        get_version,
        register_version,
        rollback,
        set_champion,
        tag_decision,
    )

__all__ = [
    "Bundle",
    "BundleInfo",
    "Decision",
    "Evidence",
    "Gate",
    "ModelVersion",
    "RunRef",
    "append_decision",
    "by_alias",
    "champion",
    "close_run",
    "decide_promotion",
    "get_version",
    "ledger_uri",
    "load_bundle",
    "log_dataset",
    "log_epoch",
    "log_evaluation",
    "log_figures",
    "log_metrics",
    "log_pyfunc",
    "log_text",
    "open_run",
    "register_version",
    "render_model_card",
    "rollback",
    "run_url",
    "serve_as_pyfunc",
    "set_champion",
    "tag_decision",
    "tracking_uri",
    "verify_ledger",
    "version_url",
    "write_bundle",
]

_MODULES = {
    "connection": ("run_url", "tracking_uri", "version_url"),
    "mlflow_runs": (
        "RunRef",
        "close_run",
        "log_dataset",
        "log_epoch",
        "log_evaluation",
        "log_figures",
        "log_metrics",
        "log_text",
        "open_run",
    ),
    "model_card": ("render_model_card",),
    "promotion": ("Decision", "Evidence", "Gate", "decide_promotion"),
    "pyfunc": ("log_pyfunc", "serve_as_pyfunc"),
    "versions": (
        "ModelVersion",
        "by_alias",
        "champion",
        "get_version",
        "register_version",
        "rollback",
        "set_champion",
        "tag_decision",
    ),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
