"""Metrics, baselines, evaluation and significance: how good a model is, and how sure that is."""

from recsys.evaluation.baselines import ItemKnn, Popularity, Random
from recsys.evaluation.blend import BLEND_FILE, Blend, FittedBlend, HybridRecommender, read_blend
from recsys.evaluation.coldstart import N_EVENTS, SegmentPopularity, against_popularity, curve, told
from recsys.evaluation.components import Profiles
from recsys.evaluation.content import ContentKnn
from recsys.evaluation.covisitation import Covisitation
from recsys.evaluation.ease import Ease
from recsys.evaluation.evaluate import evaluate, evaluate_champion, evaluate_recommender
from recsys.evaluation.given import GivenLists
from recsys.evaluation.graph_filter import GraphFilter
from recsys.evaluation.measure import Measured, measure
from recsys.evaluation.newcomers import newcomers_of
from recsys.evaluation.plots import (
    embedding_projection,
    learning_curve,
    metrics_against_baselines,
    recall_by_popularity_decile,
)
from recsys.evaluation.pooled import Pooled, intervals
from recsys.evaluation.recommender import Recommender, ScoredRecommender, TowerRecommender, Towers, recommendable_items
from recsys.evaluation.report import EvaluationReport, ModelResult
from recsys.evaluation.significance import interval, paired_bootstrap
from recsys.evaluation.topk import top_k
from recsys.evaluation.trade_offs import accuracy_against, coldstart_curves
from recsys.evaluation.users import measured_users, user_slices
from recsys.evaluation.weighing import choose_blend

__all__ = [
    "BLEND_FILE",
    "N_EVENTS",
    "Blend",
    "ContentKnn",
    "Covisitation",
    "Ease",
    "EvaluationReport",
    "FittedBlend",
    "GivenLists",
    "GraphFilter",
    "HybridRecommender",
    "ItemKnn",
    "Measured",
    "ModelResult",
    "Pooled",
    "Popularity",
    "Profiles",
    "Random",
    "Recommender",
    "ScoredRecommender",
    "SegmentPopularity",
    "TowerRecommender",
    "Towers",
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
    "read_blend",
    "recall_by_popularity_decile",
    "recommendable_items",
    "told",
    "top_k",
    "user_slices",
]
