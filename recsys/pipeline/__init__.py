"""One function per stage: configuration and addresses in, a small JSON result out. Airflow and the CLI call these.

Every stage may be run again: finished work is found by its content and returned as it is.
"""

from recsys.pipeline.backtest import backtest
from recsys.pipeline.cases import load_case
from recsys.pipeline.data import build_features, ingest, select, validate
from recsys.pipeline.monitoring import monitor
from recsys.pipeline.onboarding import onboard
from recsys.pipeline.promotion import ledger, promote, register, rollback
from recsys.pipeline.show import print_recommendations, print_report, run, show
from recsys.pipeline.training import evaluate, export_index, train

__all__ = [
    "backtest",
    "build_features",
    "evaluate",
    "export_index",
    "ingest",
    "ledger",
    "load_case",
    "monitor",
    "onboard",
    "print_recommendations",
    "print_report",
    "promote",
    "register",
    "rollback",
    "run",
    "select",
    "show",
    "train",
    "validate",
]
