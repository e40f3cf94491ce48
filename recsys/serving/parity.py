"""Serving parity: a bundle reloaded in a fresh process must return the lists this process returns."""

import json
import subprocess
import sys

from recsys.errors import StorageError
from recsys.serving.recommender import BundleRecommender

_N_USERS = 25
_K = 10
_TIMEOUT_S = 300


def check_parity(bundle: str, index: str, here: BundleRecommender) -> float:
    """Return the share of sampled users (and one newcomer) whose list a fresh process reproduces, ids and order."""
    command = [sys.executable, "-m", "recsys.serving.parity", bundle, index]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode:
        raise StorageError(f"the bundle {bundle} cannot be served by a fresh process: {done.stderr.strip()[-300:]}")
    there: list[list[str]] = json.loads(done.stdout.splitlines()[-1])
    mine = sample_lists(here)
    return sum(a == b for a, b in zip(there, mine, strict=True)) / len(mine)


def sample_lists(recommender: BundleRecommender) -> list[list[str]]:
    """Return the lists of evenly chosen users and of a newcomer."""
    users = recommender.user_ids
    chosen: list[str | None] = [*users[:: max(1, len(users) // _N_USERS)][:_N_USERS], None]
    return [[each.item_id for each in recommender.recommend(user, _K)] for user in chosen]


if __name__ == "__main__":
    print(json.dumps(sample_lists(BundleRecommender.open(sys.argv[1], sys.argv[2]))))
