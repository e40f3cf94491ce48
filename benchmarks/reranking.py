"""What diversity and popularity control cost: nDCG against coverage, novelty, diversity and popularity bias.

    python benchmarks/reranking.py        # MovieLens 1M; writes state/benchmarks/reranking.{json,png}

Lists of users held out wholly, ten events told (the recent window of `coldstart.py`), ten of the hundred best items.
"""

import json
from itertools import product
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from newcomers import ROOT, load
from numpy.typing import NDArray

from recsys.config import RerankConfig
from recsys.evaluation import accuracy_against, paired_bootstrap, told
from recsys.evaluation.lists import averages
from recsys.evaluation.metrics import average, ndcg_at_k
from recsys.evaluation.users import hits_of
from recsys.features import content_vectors
from recsys.scoring import TowerRecommender, recommendable_items
from recsys.serving.reranking import rerank, similarity_vectors

K, N_CANDIDATES = 10, 100
STRENGTHS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7)
METHODS = ("mmr", "dpp", "popularity")
BEYOND = ("coverage", "novelty", "diversity", "popularity_bias")
app = typer.Typer(add_completion=False)


def settings_of(method: str, strength: float) -> RerankConfig:
    """Return the configuration of one method at one strength."""
    if method == "popularity":
        return RerankConfig(popularity_penalty=strength, n_candidates=N_CANDIDATES)
    return RerankConfig(method=method, diversity=strength, n_candidates=N_CANDIDATES)


@app.command()
def measure(out: Annotated[Path, typer.Option(help="folder of the results")] = ROOT / "state" / "benchmarks") -> None:
    """Measure every method at every strength and write the figures."""
    case = load()
    newcomers, heldout = told(case.test, "recent", 10)
    recommendable = recommendable_items(case.train, 2)
    items = TowerRecommender(newcomers, case.towers, recommendable).recommend(heldout, N_CANDIDATES)
    queries = case.towers.query_vectors(
        newcomers,
        case.towers.history_vectors,
        heldout.user_rows,
        heldout.history_end,
        heldout.query_time,
        heldout.device,
    )
    scores = np.einsum("ud,ukd->uk", queries, case.towers.item_vectors[items])
    content = content_vectors(case.train)
    similar = similarity_vectors(content, case.towers.item_vectors)
    counts = np.asarray(case.train.items.train_count)
    logs, n_relevant = np.log1p(counts.astype(float)), np.diff(heldout.relevant.indptr).astype(np.int64)
    rows, plain = [], np.empty(0)
    for method, strength in product(METHODS, STRENGTHS):
        settings = settings_of(method, strength)
        lists: NDArray[np.int32] = np.array([
            own[rerank(settings, own, score, similar[own], logs[own], K)]
            for own, score in zip(items, scores, strict=True)
        ])  # fmt: skip
        values = ndcg_at_k(hits_of(lists, heldout.relevant), n_relevant)
        plain = values if strength == 0 else plain
        cost, low, high = paired_bootstrap(values, plain, 1000, 5)
        beyond = averages(lists, int(recommendable.sum()), counts, content)
        rows.append({"method": method, "strength": strength, "ndcg": average(values), "cost": cost, "cost_low": low,
                     "cost_high": high, **beyond})  # fmt: skip
        numbers = "  ".join(f"{name} {beyond[name]:.4f}" for name in BEYOND)
        print(
            f"{method:10} {strength:.1f}  ndcg {average(values):.4f} ({cost:+.4f} [{low:+.4f}, {high:+.4f}])  {numbers}"
        )
    out.mkdir(parents=True, exist_ok=True)
    (out / "reranking.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    accuracy_against(rows, BEYOND).savefig(out / "reranking.png", dpi=110)


if __name__ == "__main__":
    app()
