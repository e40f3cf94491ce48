"""Metrics, protocols and significance: how good a model is beside its baselines, and how sure that is."""

from recsys.evaluation.coldstart import N_EVENTS, SegmentPopularity, against_popularity, curve, told
from recsys.evaluation.evaluate import (
    ServedModel,
    evaluate,
    evaluate_champion,
    evaluate_recommender,
    served_recommender,
)
from recsys.evaluation.given import GivenLists
from recsys.evaluation.measure import Measured, measure
from recsys.evaluation.newcomers import newcomers_of
from recsys.evaluation.plots import (
    embedding_projection,
    learning_curve,
    metrics_against_baselines,
    recall_by_popularity_decile,
)
from recsys.evaluation.pooled import Pooled, intervals
from recsys.evaluation.redact import redact_evaluation
from recsys.evaluation.report import EvaluationReport, ModelResult
from recsys.evaluation.sample import ListSample
from recsys.evaluation.significance import interval, paired_bootstrap
from recsys.evaluation.trade_offs import accuracy_against, coldstart_curves
from recsys.evaluation.users import COLD_USERS, measured_users, user_slices, with_analytics
from recsys.evaluation.weighing import choose_blend

__all__ = [
    "COLD_USERS",
    "N_EVENTS",
    "EvaluationReport",
    "GivenLists",
    "ListSample",
    "Measured",
    "ModelResult",
    "Pooled",
    "SegmentPopularity",
    "ServedModel",
    "accuracy_against",
    "against_popularity",
    "choose_blend",
    "coldstart_curves",
    "curve",
    "embedding_projection",
    "evaluate",
    "evaluate_champion",
    "evaluate_recommender",
    "interval",
    "intervals",
    "learning_curve",
    "measure",
    "measured_users",
    "metrics_against_baselines",
    "newcomers_of",
    "paired_bootstrap",
    "recall_by_popularity_decile",
    "redact_evaluation",
    "served_recommender",
    "told",
    "user_slices",
    "with_analytics",
]
