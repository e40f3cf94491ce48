"""Onboarding on MovieLens 1M: which films to ask a newcomer about, against asking about popular or random films.

    python benchmarks/onboarding.py                # 1,000 test users; writes state/benchmarks/onboarding_test.json
    python benchmarks/onboarding.py --users dev    # 500 other users, on whom every setting was chosen
    python benchmarks/onboarding.py --skip         # who does not know a film is asked about the next one

Users are held out wholly and answer from their own ratings: 4 or more is like, less is dislike, not rated is don't
know. Don't know is an answer and uses up a question, unless `--skip`: then a newcomer is asked until so many films are
known, 25 at most. Every film that any arm asks a user about is taken out of that user's list and targets in all arms
alike; nDCG@10 is on the positive films that remain.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer
from newcomers import ROOT, labels, load
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.config import OnboardingConfig
from recsys.evaluation import paired_bootstrap
from recsys.evaluation.metrics import average, ndcg_at_k
from recsys.evaluation.users import hits_of
from recsys.features import Dataset, EventArrays
from recsys.model import ExportedTowers
from recsys.pipeline.onboarding import MOST_ASKED
from recsys.schema import EVENT_KINDS
from recsys.scoring import recommendable_items, top_k
from recsys.scoring.taste import standardised
from recsys.serving.onboarding import Answers, Onboarding

COUNTS, SEED = (1, 3, 5), 3
WEIGHTS = (0.0, 0.5, 1.0, 2.0, 4.0, 1e6)  # of the answers beside the towers: from none to all
Replies = list[list[tuple[str, str]]]
app = typer.Typer(add_completion=False)


@app.command()
def measure(
    users: Annotated[Literal["test", "dev"], typer.Option(help="whom to ask")] = "test",
    limit: Annotated[int, typer.Option(help="users to ask, 0 for all")] = 0,
    diversity: Annotated[list[float] | None, typer.Option(help="settings to compare; default: the default")] = None,
    weights: Annotated[list[float] | None, typer.Option(help="weights of the answers beside the towers")] = None,
    skip: Annotated[bool, typer.Option(help="don't know is no answer")] = False,
    out: Annotated[Path, typer.Option(help="folder of the results")] = ROOT / "state" / "benchmarks",
) -> None:
    """Ask every user in every arm and compare the lists."""
    case, defaults = load(), OnboardingConfig()
    people = case.test if users == "test" else case.dev
    n = min(limit or len(people.users.ids), len(people.users.ids))
    truth = {positive: _matrix(people, positive)[:n] for positive in (True, False)}
    settings = {f"ours{f' {value}' if diversity else ''}": defaults.model_copy(update={"diversity": value})
                for value in diversity or [defaults.diversity]}  # fmt: skip
    asking = {name: Onboarding.of(case.train, case.towers.item_vectors, each) for name, each in settings.items()}
    first = next(iter(asking.values()))
    order = _most_known(case.train)
    drawn = np.random.default_rng(SEED)
    arms: dict[str, Replies] = {
        "popular": [_fixed(case.train, order, row, truth, skip) for row in range(n)],
        "random": [_fixed(case.train, drawn.permutation(len(order)), row, truth, skip) for row in range(n)],
        **{name: [_adaptive(each, people, row, truth, skip) for row in range(n)] for name, each in asking.items()},
    }
    asked = _asked(case.train, arms, n)
    relevant = csr_matrix(truth[True] & ~asked)
    allowed = recommendable_items(case.train, 2) & ~asked
    n_relevant = np.diff(relevant.indptr).astype(np.int64)
    results = []
    for count in COUNTS:
        told = {name: [each[: _until(each, count, skip)] for each in replies] for name, replies in arms.items()}
        parts = {name: _scores(case.train, people, case.towers, first, each) for name, each in told.items()}
        for weight in weights or WEIGHTS:
            lists = {name: top_k(tower + weight * liked, 10, allowed) for name, (tower, liked) in parts.items()}
            values = {name: ndcg_at_k(hits_of(items, relevant), n_relevant) for name, items in lists.items()}
            results += _compare(values, told, count, weight)
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"onboarding_{users}{'_skip' if skip else ''}.json"
    path.write_text(json.dumps(results, indent=1), encoding="utf-8")


def _compare(
    values: dict[str, NDArray[np.float64]], told: dict[str, Replies], count: int, weight: float
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    base = average(values["popular"])
    for name, each in values.items():
        gain, low, high = paired_bootstrap(each, values["popular"], 1000, 5)
        asked, known = float(np.mean(list(map(len, told[name])))), float(np.mean(list(map(_n_known, told[name]))))
        rows.append({"taste_weight": weight, "answers": count, "arm": name, "ndcg_at_10": average(each), "known": known,
                     "asked": asked, "gain": gain, "low": low, "high": high, "relative": gain / base})  # fmt: skip
        found = f"nDCG@10 {average(each):.4f} against popular {gain:+.4f} [{low:+.4f}, {high:+.4f}]  {gain / base:+.1%}"
        print(f"weight {weight:<4} after {count}  {name:10} asked {asked:.2f} known {known:.2f}  {found}", flush=True)
    return rows


def _scores(
    trained: Dataset, people: Dataset, towers: ExportedTowers, onboarding: Onboarding, told: Replies
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the towers' and the answers' scores, float64[n, n_items], standardised over the catalogue."""
    liked = np.array([onboarding.liked(each, labels(people, row)) for row, each in enumerate(told)])
    return standardised(_tower_scores(trained, people, towers, told)), standardised(liked)


def _tower_scores(trained: Dataset, people: Dataset, towers: ExportedTowers, told: Replies) -> NDArray[np.float64]:
    places = {item: row for row, item in enumerate(trained.items.ids.tolist())}
    items = [[places[item] for item, answer in each if answer == "like"] for each in told]
    n, now = sum(map(len, items)), int(np.median(people.events.timestamp))
    offsets = np.concatenate([[0], np.cumsum([len(each) for each in items])]).astype(np.int64)
    history = EventArrays(
        item=np.array([row for each in items for row in each], np.int32),
        kind=np.full(n, EVENT_KINDS.index("rating") + 1, np.int8),
        weight=np.ones(n, np.float32),
        timestamp=np.full(n, now - 60, np.int64),
        device=np.zeros(n, np.int32),
        positive=np.ones(n, bool),
        split=np.zeros(n, np.int8),
        offsets=offsets,
    )
    rows = np.arange(len(told), dtype=np.int32)
    queries = towers.query_vectors(
        replace(people, events=history), towers.history_vectors, rows, offsets[1:], np.full(len(told), now),
        np.zeros(len(told), np.int32),
    )  # fmt: skip
    return (queries @ towers.item_vectors.T).astype(np.float64)


def _adaptive(
    onboarding: Onboarding, people: Dataset, row: int, truth: dict[bool, NDArray[np.bool_]], skip: bool
) -> list[tuple[str, str]]:
    replies: list[tuple[str, str]] = []
    own = labels(people, row)
    while not _enough(replies, skip):
        item = onboarding.next_questions(replies, own)[0].item_id
        replies.append((item, _reply(people, item, row, truth)))
    return replies


def _fixed(
    trained: Dataset, order: NDArray[np.int64], row: int, truth: dict[bool, NDArray[np.bool_]], skip: bool
) -> list[tuple[str, str]]:
    replies: list[tuple[str, str]] = []
    while not _enough(replies, skip):
        item = int(order[len(replies)])
        replies.append((str(trained.items.ids[item]), _reply_of(item, row, truth)))
    return replies


def _enough(replies: Answers, skip: bool) -> bool:
    return len(replies) == MOST_ASKED or (_n_known(replies) if skip else len(replies)) == max(COUNTS)


def _until(replies: Answers, count: int, skip: bool) -> int:
    """Return how many questions it took to get `count` answers, or all there were."""
    if not skip:
        return count
    known = np.cumsum([answer != "unknown" for _, answer in replies])
    return min(int(np.searchsorted(known, count)) + 1, len(replies))


def _n_known(replies: Answers) -> int:
    return sum(answer != "unknown" for _, answer in replies)


def _reply(people: Dataset, item: str, row: int, truth: dict[bool, NDArray[np.bool_]]) -> str:
    return _reply_of(int(people.items.ids.to_series().search_sorted(item)), row, truth)


def _reply_of(item: int, row: int, truth: dict[bool, NDArray[np.bool_]]) -> str:
    return "like" if truth[True][row, item] else "dislike" if truth[False][row, item] else "unknown"


def _asked(trained: Dataset, arms: dict[str, Replies], n: int) -> NDArray[np.bool_]:
    result, ids = np.zeros((n, len(trained.items.ids)), bool), np.asarray(trained.items.ids)
    for replies in arms.values():
        for row, each in enumerate(replies):
            result[row, np.searchsorted(ids, [item for item, _ in each])] = True
    return result


def _matrix(dataset: Dataset, positive: bool) -> NDArray[np.bool_]:
    result = np.zeros((len(dataset.users.ids), len(dataset.items.ids)), bool)
    users = np.repeat(np.arange(len(result)), np.diff(dataset.events.offsets))
    chosen = np.asarray(dataset.events.positive) == positive
    result[users[chosen], dataset.events.item[chosen]] = True
    return result


def _most_known(dataset: Dataset) -> NDArray[np.int64]:
    return np.argsort(-np.bincount(dataset.events.item, minlength=len(dataset.items.ids)), kind="stable")


if __name__ == "__main__":
    app()
