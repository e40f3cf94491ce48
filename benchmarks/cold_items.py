"""Measure new films on several draws, beside ridge regression from content to iALS factors.

    python benchmarks/cold_items.py                          # V4's own films and four further draws
    python benchmarks/cold_items.py --draws own,7 --epochs 8

Draws are made as case V4's: 421 films are 15 % of the 2,810 that the 10-core of ratings of 4 and more holds, and V4's
film list, whose seed is not known, holds none but those. So a draw is
`RandomState(seed).choice(ids, 421, replace=False)` of the core's ids in the order of their numbers. All ratings of the
films drawn are the test; they alone are ranked, for users with a history.

The ridge regression sees what our models see (words of title, description, people and genres by TF-IDF, categories,
age and duration), its targets are the factors of iALS (Hu et al. 2008, 64 factors) and its strength is the one that
ranks our validation films best; then it is fitted on train and validation, as ours are. Prints one line per draw:
nDCG@20 (recall@20), the hybrid over the ridge, epochs trained, epochs kept, seconds of training.
"""

import os
import time
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import polars as pl
import typer
from numpy.typing import NDArray
from prepare import ROOT, _core, prepare
from scipy.sparse import csr_array, hstack

from recsys.config import Config, load_config
from recsys.data import read_consented, read_ids
from recsys.evaluation import measure
from recsys.features import TEST, VALIDATION, Dataset, Heldout, case_dataset, heldout
from recsys.features.encode import texts
from recsys.model import ExportedTowers
from recsys.pipeline.backtest_models import Fit, Ranker, builders
from recsys.scoring.baselines import consumption
from recsys.scoring.ials import ials_factors
from recsys.scoring.recommender import ScoredRecommender, Scorer

_K, _N_FILMS, _CORE, _FACTORS = 20, 421, 10, 64
_RIDGES = (0.03, 0.1, 0.3, 1.0, 3.0)  # in mean variances of the content
Figures = tuple[float, float]


class ContentRidge(ScoredRecommender):
    """Scores by iALS factors of users and those that content predicts of items."""

    name = "ridge"

    def __init__(self, dataset: Dataset, recommendable: NDArray[np.bool_], split: int) -> None:
        super().__init__(recommendable)
        met = consumption(dataset, split)
        self._users, factors = ials_factors(met, _FACTORS)
        self._known = np.flatnonzero(np.asarray(met.sum(axis=0)).ravel())
        self._kernel, self._targets = _kernel(dataset), factors[self._known]
        self.ridge = _RIDGES[0]

    def _scorer(self, heldout: Heldout) -> Scorer:
        own = self._kernel[np.ix_(self._known, self._known)]
        mean = self._targets.mean(axis=0)
        own[np.diag_indices_from(own)] += self.ridge * own.diagonal().mean()
        items = self._kernel[:, self._known] @ np.linalg.solve(own, self._targets - mean) + mean
        return lambda block: self._users[heldout.user_rows[block]] @ items.T


def main(
    draws: Annotated[str, typer.Option(help="`own` for V4's films, else seeds")] = "own,7,2024,1,2",
    epochs: Annotated[int, typer.Option(help="at most; 0: the default")] = 0,
    towers: Annotated[Path, typer.Option(help="trained towers are kept here and used again")] = ROOT
    / "state"
    / "benchmarks"
    / "cold_items",
) -> None:
    """Print the table and the mean ratio."""
    prepare("v4")
    os.chdir(ROOT)
    config = load_config(ROOT / "benchmarks" / "v4.toml")
    model = {"seed": config.backtest.seeds[0]} | ({"epochs": epochs} if epochs else {})
    blend = config.blend.model_copy(update={"content": True})
    config = config.model_copy(update={"model": config.model.model_copy(update=model), "blend": blend})
    tables, core = read_consented(config), _core_ids()
    ratios = []
    for draw in draws.split(","):
        films = (
            read_ids(config.backtest.cold_items, config.backtest.cold_items_column)
            if draw == "own"
            else np.random.RandomState(int(draw)).choice(core, _N_FILMS, replace=False).tolist()
        )
        build = partial(case_dataset, config, *tables, cold_items=films)
        kept = towers / f"{draw}-{config.model.epochs}"
        ratios.append(_measured(config, draw, kept, build(), build(train_validation=True)))
    print(f"mean of hybrid / ridge {np.mean(ratios):.3f}")


def _measured(config: Config, draw: str, folder: Path, dataset: Dataset, whole: Dataset) -> float:
    """Print a draw's line; return the hybrid's nDCG@20 over the ridge's."""
    users = heldout(dataset, TEST)
    ridge = _ridge(dataset, whole)
    figures = {"ridge": _figures(whole, users, ridge)}
    started = time.perf_counter()
    fit = Fit(config, dataset, lambda: whole, TEST, users.candidates, folder, lambda *_: None)
    figures["two_tower"] = _figures(dataset, users, builders(config)["two_tower"].fit(fit))
    seconds = time.perf_counter() - started
    figures["hybrid"] = _figures(dataset, users, builders(config)["hybrid"].fit(fit))
    told = ExportedTowers.training(folder / "validated")
    ratio = figures["hybrid"][0] / figures["ridge"][0]
    shown = " | ".join(f"{name} {ndcg:.4f} ({recall:.4f})" for name, (ndcg, recall) in figures.items())
    print(f"| {draw} | {shown} | {ratio:.3f} | {len(told['history'])}, {told['best_epoch']} | {seconds:.0f} s | "
          f"ridge {ridge.ridge:g}", flush=True)  # fmt: skip
    return ratio


def _ridge(dataset: Dataset, whole: Dataset) -> ContentRidge:
    """Return the ridge regression of train and validation, as strong as ranks the validation films best."""
    users = heldout(dataset, VALIDATION)
    tried = ContentRidge(dataset, np.asarray(users.candidates), VALIDATION)
    found = []
    for tried.ridge in _RIDGES:
        found.append(_figures(dataset, users, tried)[0])
    chosen = ContentRidge(whole, np.asarray(heldout(whole, TEST).candidates), TEST)
    chosen.ridge = _RIDGES[int(np.argmax(found))]
    return chosen


def _figures(dataset: Dataset, users: Heldout, model: Ranker) -> Figures:
    """Return nDCG@20 and recall@20, hits divided by min(20, relevant)."""
    items, _ = model.ranked(users, _K)
    n_films = int(np.asarray(users.candidates).sum())
    values = measure(dataset, users, items, (_K,), n_recommendable=n_films, full_recall=False).values
    return float(np.nanmean(values[f"ndcg_at_{_K}"])), float(np.nanmean(values[f"recall_at_{_K}"]))


def _kernel(dataset: Dataset) -> NDArray[np.float64]:
    items = dataset.items
    rows, columns = np.nonzero(items.categories)
    share = np.bincount(rows, minlength=len(items.ids))[rows] ** -0.5
    categories = csr_array((share, (rows, items.categories[rows, columns])), shape=(len(items.ids), 1000))
    numbers = csr_array(np.asarray(items.numeric, np.float64) / 2)  # so that they count about as much as the others
    content = csr_array(hstack([dataset.text_model.weighted(texts(dataset.items_frame)), categories, numbers]))
    return (content @ content.T).toarray()


def _core_ids() -> list[str]:
    """Return the films of the 10-core of ratings of 4 and more, by number."""
    ratings = pl.read_parquet(ROOT / "state" / "bench" / "v4" / "interactions.parquet").filter(pl.col("value") >= 4)
    return sorted(_core(ratings, _CORE)["item_id"].unique().to_list(), key=int)


if __name__ == "__main__":
    typer.run(main)
