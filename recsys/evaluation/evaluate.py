"""Evaluate a model against its baselines, or an older champion on the same users: full catalogue, never sampled."""

import numpy as np
from numpy.typing import NDArray

from recsys.config import Config
from recsys.evaluation import lists
from recsys.evaluation.metrics import ACCURACY, Bools, Floats, average, n_measured, ndcg_at_k
from recsys.evaluation.report import EvaluationReport, ModelResult
from recsys.evaluation.significance import interval, paired_bootstrap
from recsys.evaluation.users import (
    COLD_USERS,
    N_DECILES,
    WARM_USERS,
    hits_of,
    item_slices,
    measured_users,
    popularity_deciles,
    user_slices,
)
from recsys.features import Dataset, FeatureSpec, Heldout, TextModel, content_vectors, heldout, reindex
from recsys.scoring.baselines import baselines
from recsys.scoring.blend import Blend, FittedBlend, HybridRecommender
from recsys.scoring.recommender import Recommender, TowerRecommender, Towers, recommendable_items

_SLICE_METRICS = ("ndcg", "recall", "hit_rate")


def evaluate(
    config: Config, dataset: Dataset, towers: Towers, split: int = 2, blend: Blend | None = None
) -> EvaluationReport:
    """Return the towers and the four baselines on the held-out users of `split` (1 validation, 2 test).

    With a `blend` the hybrid, its components fitted on what came before the split, is the model that is judged. Raises
    RecsysError when no user can be measured, or when the model's scores are not finite or all the same.
    """
    settings = config.evaluation
    users = measured_users(config, dataset, split)
    recommendable = recommendable_items(dataset, split)
    hybrid = [_hybrid(dataset, towers, recommendable, blend, split)] if blend else []
    recommenders: list[Recommender] = [
        *hybrid,
        TowerRecommender(dataset, towers, recommendable),
        *baselines(
            dataset, split, recent_days=settings.recent_days, n_neighbours=settings.knn_neighbours, seed=settings.seed
        ),
    ]
    results = {each.name: evaluate_recommender(config, dataset, each, users, recommendable) for each in recommenders}
    model = recommenders[0].name
    values = {name: result.per_user for name, result in results.items()}
    slices = user_slices(dataset, users)
    return EvaluationReport(
        split=split,
        main_metric=settings.main_metric,
        model=model,
        results=results,
        lifts={name: _lift(config, values[model], values[name]) for name in values if name != model},
        groups=_groups(config, values[model], slices),
        counts=_counts(dataset, users, recommendable, split),
        slice_counts=_slice_counts(dataset, users, slices),
        decile_counts=np.bincount(popularity_deciles(dataset)[users.relevant.indices], minlength=N_DECILES).tolist(),
        cut_offs=cut_offs(config, recommendable),
        user_rows=np.asarray(users.user_rows),
        user_slices=slices,
    )


def evaluate_champion(
    config: Config,
    dataset: Dataset,
    spec: FeatureSpec,
    text_model: TextModel,
    towers: Towers,
    split: int = 2,
    name: str = "champion",
    blend: Blend | None = None,
    blend_split: int | None = None,
) -> ModelResult:
    """Return an older bundle on the users and items `evaluate` measures, seen through the bundle's own spec.

    Users and items the champion does not know are encoded from demographics and content, as they would be when served.
    With its `blend` its weights count, and its components are fitted on the present dataset before `blend_split`, by
    default before `split`.
    """
    mapped = reindex(dataset, spec, text_model)
    recommendable = recommendable_items(dataset, split)
    fitted_on = split if blend_split is None else blend_split
    recommender = (
        _hybrid(mapped, towers, recommendable, blend, fitted_on, name, encode=True)
        if blend
        else TowerRecommender(mapped, towers, recommendable, name, encode=True)
    )
    return evaluate_recommender(config, dataset, recommender, measured_users(config, dataset, split), recommendable)


def evaluate_recommender(
    config: Config, dataset: Dataset, recommender: Recommender, users: Heldout, recommendable: NDArray[np.bool_]
) -> ModelResult:
    """Return one recommender's metrics at every configured k, its slices at the main k, and its per-user values."""
    used = cut_offs(config, recommendable)
    items = recommender.recommend(users, max(used.values()))
    hits = hits_of(items, users.relevant)
    k = used[main_k(config)]
    n_relevant = np.diff(users.relevant.indptr).astype(np.int64)
    per_user = ndcg_at_k(hits[:, :k], n_relevant)
    vectors = content_vectors(dataset)
    metrics: dict[str, float] = {}
    for asked, cut in used.items():
        for metric, function in ACCURACY.items():
            metrics[f"{metric}_at_{asked}"] = average(function(hits[:, :cut], n_relevant))
        described = lists.averages(items[:, :cut], int(recommendable.sum()), dataset.items.train_count, vectors)
        metrics |= {f"{name}_at_{asked}": value for name, value in described.items()}
    return ModelResult(
        name=recommender.name,
        metrics=metrics,
        interval=interval(per_user, config.promotion.n_bootstrap, config.evaluation.seed),
        slices=_slices(dataset, users, items[:, :k], hits[:, :k], main_k(config)),
        deciles=_deciles(dataset, users, items[:, :k], hits[:, :k]),
        per_user=per_user,
    )


def _hybrid(
    dataset: Dataset,
    towers: Towers,
    recommendable: NDArray[np.bool_],
    blend: Blend,
    split: int,
    name: str = "hybrid",
    *,
    encode: bool = False,
) -> HybridRecommender:
    fitted = FittedBlend.fit(blend, dataset, split)
    return HybridRecommender(dataset, towers, recommendable, fitted, name, encode=encode)


def cut_offs(config: Config, recommendable: NDArray[np.bool_]) -> dict[int, int]:
    """Return each configured k with the k that is used: no more than there are recommendable items, at least 1."""
    n_items = max(int(recommendable.sum()), 1)
    return {k: min(k, n_items) for k in config.evaluation.ks}


def main_k(config: Config) -> int:
    """Return the k of the main metric."""
    return int(config.evaluation.main_metric.rsplit("_", 1)[1])


def _slices(
    dataset: Dataset, users: Heldout, items: NDArray[np.int32], hits: Bools, k: int
) -> dict[str, dict[str, float]]:
    n_relevant = np.diff(users.relevant.indptr).astype(np.int64)
    slices = {}
    for name, mask in user_slices(dataset, users).items():
        if name in (COLD_USERS, WARM_USERS):
            slices[name] = _slice_metrics(hits[mask], n_relevant[mask], k)
    for name, mask in item_slices(dataset).items():
        slices[name] = _slice_metrics(hits & mask[items], np.asarray(users.relevant[:, mask].sum(axis=1)).ravel(), k)
    return slices


def _slice_metrics(hits: Bools, n_relevant: NDArray[np.int64], k: int) -> dict[str, float]:
    metrics = {f"{name}_at_{k}": average(ACCURACY[name](hits, n_relevant)) for name in _SLICE_METRICS}
    return metrics | {"n_users": float((n_relevant > 0).sum())}


def _deciles(dataset: Dataset, users: Heldout, items: NDArray[np.int32], hits: Bools) -> list[float | None]:
    decile = popularity_deciles(dataset)
    relevant = np.bincount(decile[users.relevant.indices], minlength=N_DECILES)
    found = np.bincount(decile[items[hits]], minlength=N_DECILES)
    return [float(f / n) if n else None for f, n in zip(found, relevant, strict=True)]


def _lift(config: Config, model: Floats, baseline: Floats) -> tuple[float, float, float]:
    return paired_bootstrap(model, baseline, config.promotion.n_bootstrap, config.evaluation.seed)


def _groups(config: Config, values: Floats, slices: dict[str, Bools]) -> dict[str, dict[str, dict[str, float]]]:
    groups: dict[str, dict[str, dict[str, float]]] = {}
    for name, mask in slices.items():
        column, separator, label = name.partition("=")
        if separator and (n_users := n_measured(values[mask])):
            low, high = interval(values[mask], config.promotion.n_bootstrap, config.evaluation.seed)
            numbers = {"n_users": float(n_users), "ndcg": average(values[mask]), "low": low, "high": high}
            groups.setdefault(column, {})[label] = numbers
    return groups


def _counts(dataset: Dataset, users: Heldout, recommendable: NDArray[np.bool_], split: int) -> dict[str, int]:
    events = dataset.events
    active = np.repeat(np.arange(len(dataset.users.ids)), np.diff(events.offsets))[
        np.asarray(events.positive) & (np.asarray(events.split) == split)
    ]
    available = int(heldout(dataset, split).user_rows.size)
    return {
        "n_users": int(users.user_rows.size),
        "n_users_available": available,
        "n_users_without_relevant": int(np.unique(active).size) - available,
        "n_items": len(dataset.items.ids),
        "n_recommendable": int(recommendable.sum()),
        "n_relevant": int(users.relevant.nnz),
    }


def _slice_counts(dataset: Dataset, users: Heldout, slices: dict[str, Bools]) -> dict[str, int]:
    relevant = {name: int(mask[users.relevant.indices].sum()) for name, mask in item_slices(dataset).items()}
    return {name: int(mask.sum()) for name, mask in slices.items()} | relevant
