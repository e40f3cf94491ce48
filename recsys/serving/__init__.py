"""Serving's door: recommendations from a bundle and its index, and which bundle is champion."""

from recsys.serving.champion import Champion, read_champion, write_champion
from recsys.serving.newcomers import NewcomerRecommender
from recsys.serving.onboarding import Onboarding, Question
from recsys.serving.opening import encoding_for, open_recommender
from recsys.serving.parity import check_judged, check_parity
from recsys.serving.people import DatasetPeople, People, Person, StoredPeople
from recsys.serving.queries import sample_queries
from recsys.serving.recommender import BundleRecommender, Recommendation

__all__ = [
    "BundleRecommender",
    "Champion",
    "DatasetPeople",
    "NewcomerRecommender",
    "Onboarding",
    "People",
    "Person",
    "Question",
    "Recommendation",
    "StoredPeople",
    "check_judged",
    "check_parity",
    "encoding_for",
    "open_recommender",
    "read_champion",
    "sample_queries",
    "write_champion",
]
