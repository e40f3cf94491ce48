"""Scoring's door: everything that gives an item a score without training a network, and the blend with the towers.

What evaluation measures and what serving answers is computed here, by the same code.
"""

from recsys.scoring.baselines import ItemKnn, Popularity, Random, baselines, item_counts
from recsys.scoring.blend import BLEND_FILE, TOWER, Blend, FittedBlend, HybridRecommender, read_blend
from recsys.scoring.components import Profiles
from recsys.scoring.content import ContentKnn
from recsys.scoring.covisitation import Covisitation
from recsys.scoring.ease import Ease
from recsys.scoring.graph_filter import GraphFilter
from recsys.scoring.recommender import (
    Recommender,
    ScoredRecommender,
    Scorer,
    TowerRecommender,
    Towers,
    recommendable_items,
)
from recsys.scoring.topk import top_k

__all__ = [
    "BLEND_FILE",
    "TOWER",
    "Blend",
    "ContentKnn",
    "Covisitation",
    "Ease",
    "FittedBlend",
    "GraphFilter",
    "HybridRecommender",
    "ItemKnn",
    "Popularity",
    "Profiles",
    "Random",
    "Recommender",
    "ScoredRecommender",
    "Scorer",
    "TowerRecommender",
    "Towers",
    "baselines",
    "item_counts",
    "read_blend",
    "recommendable_items",
    "top_k",
]
