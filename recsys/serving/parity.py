"""Serving parity, in a fresh process: the lists that were judged, and a bundle's own lists, must come out again.

A list agrees when both sides hold the same items; items whose scores are equal up to rounding may change places, for
matrix products of other shapes are summed in another order.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from recsys.errors import StorageError
from recsys.evaluation import ListSample
from recsys.features import TEST, Dataset, load_dataset
from recsys.index import ExactIndex
from recsys.model import ExportedTowers
from recsys.registry import Bundle
from recsys.scoring import BLEND_FILE, FittedBlend, read_blend
from recsys.serving.people import DatasetPeople
from recsys.serving.recommender import BundleRecommender
from recsys.storage import local_path

_N_USERS = 25
_K = 10
_TIMEOUT_S = 1800
_ROUNDING = 1e-4  # share of a list's largest score

Ranked = list[tuple[str, float]]


def check_parity(bundle: str, index: str, features: str, here: BundleRecommender) -> float:
    """Return the share of sampled users of a training set, and one newcomer, whose list a fresh process reproduces."""
    there = _fresh("bundle", bundle, index, features)
    mine = sample_lists(here, load_dataset(features))
    return sum(agree(a, b) for a, b in zip(there, mine, strict=True)) / len(mine)


def check_judged(towers: str, features: str, evaluation: str) -> float:
    """Return the share of judged lists that serving gives in a fresh process: same towers, users and moments.

    1.0 where no request can be repeated, as when every user's last event stands in the second of the request.
    """
    dataset = load_dataset(features)
    sample = ListSample.load(local_path(evaluation))
    judged = _judged_lists(dataset, sample)
    there = _fresh("judged", towers, features, evaluation)
    pairs = [(a, b) for a, b, told in zip(judged, there, repeatable(dataset, sample), strict=True) if told]
    return sum(agree(a, b) for a, b in pairs) / len(pairs) if pairs else 1.0


def agree(one: Ranked, other: Ranked) -> bool:
    """Tell whether two lists hold the same items in the same order, but for items of equal scores up to rounding.

    >>> agree([("a", 1.0), ("b", 1.0)], [("b", 1.0), ("a", 1.0)])
    True
    >>> agree([("a", 2.0), ("b", 1.0)], [("a", 2.0), ("c", 0.5)])
    False
    """
    if len(one) != len(other):
        return False
    if not one:
        return True
    tolerance = _ROUNDING * max(1e-6, *(abs(score) for _, score in (*one, *other)))
    by_rank = all(abs(a - b) <= tolerance for (_, a), (_, b) in zip(one, other, strict=True))
    return by_rank and _within(one, other, tolerance) and _within(other, one, tolerance)


def _within(one: Ranked, other: Ranked, tolerance: float) -> bool:
    scores, last = dict(other), other[-1][1]
    return all(abs(scores.get(item, last) - score) <= tolerance for item, score in one)


def sample_lists(recommender: BundleRecommender, dataset: Dataset) -> list[Ranked]:
    """Return the lists of evenly chosen users of a training set and of a newcomer."""
    users = dataset.users.ids.tolist()
    chosen: list[str | None] = [*users[:: max(1, len(users) // _N_USERS)][:_N_USERS], None]
    return [_ranked(recommender, user, _K) for user in chosen]


def served_lists(towers: str, features: str, evaluation: str) -> list[Ranked]:
    """Return what serving lists for the requests of an evaluation's sample, as if its towers were a bundle."""
    dataset, folder = load_dataset(features), local_path(evaluation)
    sample, exported = ListSample.load(folder), ExportedTowers.load(local_path(towers))
    blend = FittedBlend.fit(read_blend(folder), dataset, TEST) if (folder / BLEND_FILE).exists() else None
    recommender = BundleRecommender(Bundle(dataset, exported, {}, blend), ExactIndex(exported.item_vectors))
    devices = [None, *dataset.spec.device_vocab]
    return [
        _ranked(
            recommender,
            dataset.users.ids[row],
            sample.items.shape[1],
            devices[device],
            datetime.fromtimestamp(int(second), UTC),
        )
        for row, second, device in zip(sample.user_rows, sample.query_time, sample.device, strict=True)
    ]


def repeatable(dataset: Dataset, sample: ListSample) -> list[bool]:
    """Tell of each request whether all events before it are older than its second, as serving counts them."""
    events = dataset.events
    before = np.asarray(events.split) < TEST
    times = np.where(before, np.asarray(events.timestamp), np.iinfo(np.int64).min)
    last = [times[events.offsets[row] : events.offsets[row + 1]].max(initial=-1) for row in sample.user_rows]
    return [bool(latest < second) for latest, second in zip(last, sample.query_time, strict=True)]


def _judged_lists(dataset: Dataset, sample: ListSample) -> list[Ranked]:
    ids = dataset.items.ids
    return [
        [(ids[item], float(score)) for item, score in zip(items, scores, strict=True) if item >= 0]
        for items, scores in zip(sample.items, sample.scores, strict=True)
    ]


def _ranked(
    recommender: BundleRecommender, user: str | None, k: int, device: str | None = None, at: datetime | None = None
) -> Ranked:
    return [(each.item_id, each.score) for each in recommender.recommend(user, k, device=device, at=at)]


def _fresh(what: str, *addresses: str) -> list[Ranked]:
    command = [sys.executable, "-m", "recsys.serving.parity", what, *addresses]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode:
        raise StorageError(f"{addresses[0]} cannot be served by a fresh process: {done.stderr.strip()[-300:]}")
    lists: list[list[list[str | float]]] = json.loads(done.stdout.splitlines()[-1])
    return [[(str(item), float(score)) for item, score in each] for each in lists]


def _answer(arguments: Sequence[str]) -> list[Ranked]:
    if arguments[0] == "judged":
        return served_lists(*arguments[1:])
    dataset = load_dataset(arguments[3])
    return sample_lists(BundleRecommender.open(arguments[1], arguments[2], people=DatasetPeople(dataset)), dataset)


if __name__ == "__main__":
    print(json.dumps(_answer(sys.argv[1:])))
