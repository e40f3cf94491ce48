"""One function per stage: configuration and addresses in, a small JSON result out. Airflow and the CLI call these.

Every stage may be run again: finished work is found by its content and returned as it is.
"""

from recsys.pipeline.backtest import backtest
from recsys.pipeline.cases import load_case
from recsys.pipeline.data import build_features, ingest, select, validate
from recsys.pipeline.erasure import erase, verify_erasure
from recsys.pipeline.erasure_orders import check_erasures
from recsys.pipeline.gc import gc, print_collection
from recsys.pipeline.init import init
from recsys.pipeline.monitoring import monitor
from recsys.pipeline.onboarding import onboard
from recsys.pipeline.promotion import ledger, promote, register, rollback
from recsys.pipeline.rotation import rotate_key
from recsys.pipeline.show import print_recommendations, print_report, run, show
from recsys.pipeline.training import evaluate, export_index, refit, train
from recsys.pipeline.tune import tune
from recsys.pipeline.tuning import adopt_best, open_study, plan_trials, run_trial
from recsys.pipeline.users import fill_users

__all__ = [
    "adopt_best",
    "backtest",
    "build_features",
    "check_erasures",
    "erase",
    "evaluate",
    "export_index",
    "fill_users",
    "gc",
    "ingest",
    "init",
    "ledger",
    "load_case",
    "monitor",
    "onboard",
    "open_study",
    "plan_trials",
    "print_collection",
    "print_recommendations",
    "print_report",
    "promote",
    "refit",
    "register",
    "rollback",
    "rotate_key",
    "run",
    "run_trial",
    "select",
    "show",
    "train",
    "tune",
    "validate",
    "verify_erasure",
]
