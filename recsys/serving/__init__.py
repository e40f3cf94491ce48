"""Serving's one door: the recommender that answers, the pointer to the one that serves, and the parity check."""

from pathlib import Path

from recsys.serving.champion import Champion, read_champion, write_champion
from recsys.serving.frames import FramePredictor
from recsys.serving.parity import check_parity
from recsys.serving.recommender import BundleRecommender, Recommendation

PYFUNC_SCRIPT = Path(__file__).with_name("pyfunc_model.py")

__all__ = [
    "PYFUNC_SCRIPT",
    "BundleRecommender",
    "Champion",
    "FramePredictor",
    "Recommendation",
    "check_parity",
    "read_champion",
    "write_champion",
]
