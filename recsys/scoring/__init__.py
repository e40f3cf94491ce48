"""Scoring's door: everything that gives an item a score without training a network, and the blend with the towers.

What evaluation measures and what serving answers is computed here, by the same code.
"""

from recsys.scoring.baselines import ItemKnn, Popularity, Random, baselines, item_counts
from recsys.scoring.blend import BLEND_FILE, TOWER, Blend, FittedBlend, read_blend
from recsys.scoring.components import Profiles
from recsys.scoring.content import ContentKnn
from recsys.scoring.covisitation import Covisitation
from recsys.scoring.ease import Ease
from recsys.scoring.graph_filter import GraphFilter
from recsys.scoring.hybrid import HybridRecommender
from recsys.scoring.label_counts import LabelCounts
from recsys.scoring.newcomers import NewcomerTaste, over_catalogue
from recsys.scoring.recommender import (
    Recommender,
    ScoredRecommender,
    Scorer,
    TowerRecommender,
    Towers,
    recommendable_items,
)
from recsys.scoring.requests import Requests, RequestScorer
from recsys.scoring.taste import ANSWERS, Answer, Taste, TastePrior, standardised
from recsys.scoring.topk import top_k

__all__ = [
    "ANSWERS",
    "BLEND_FILE",
    "TOWER",
    "Answer",
    "Blend",
    "ContentKnn",
    "Covisitation",
    "Ease",
    "FittedBlend",
    "GraphFilter",
    "HybridRecommender",
    "ItemKnn",
    "LabelCounts",
    "NewcomerTaste",
    "Popularity",
    "Profiles",
    "Random",
    "Recommender",
    "RequestScorer",
    "Requests",
    "ScoredRecommender",
    "Scorer",
    "Taste",
    "TastePrior",
    "TowerRecommender",
    "Towers",
    "baselines",
    "item_counts",
    "over_catalogue",
    "read_blend",
    "recommendable_items",
    "standardised",
    "top_k",
]
