"""What a fresh process answers: `python -m recsys.serving.fresh BUNDLE INDEX K` reads pseudonyms as a JSON list from
standard input and writes each one's query vector and list as JSON.
"""

import json
import sys
from collections.abc import Sequence
from typing import TypedDict

from recsys.serving.recommender import BundleRecommender


class Answer(TypedDict):
    """A query vector [D] and the `(item_id, score)` of a list, best first."""

    vector: list[float]
    items: list[tuple[str, float]]


def answers(bundle_uri: str, index_uri: str, k: int, user_ids: Sequence[str]) -> dict[str, Answer]:
    """Return what the reloaded bundle answers each user, just after its last event."""
    recommender = BundleRecommender.open(bundle_uri, index_uri)
    return {
        user: {
            "vector": recommender.query_vector(user).tolist(),
            "items": [(each.item_id, each.score) for each in recommender.recommend(user, k)],
        }
        for user in user_ids
    }


if __name__ == "__main__":
    json.dump(answers(sys.argv[1], sys.argv[2], int(sys.argv[3]), json.load(sys.stdin)), sys.stdout)
