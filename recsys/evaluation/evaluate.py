"""Evaluate a model against its baselines, or an older champion on the same users: full catalogue, never sampled."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from recsys.config import Config
from recsys.evaluation import lists
from recsys.evaluation.metrics import ACCURACY, Bools, Floats, average, n_measured, ndcg_at_k
from recsys.evaluation.report import EvaluationReport, ModelResult
from recsys.evaluation.sample import sample_lists
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
    with_analytics,
)
from recsys.features import (
    Dataset,
    FeatureSpec,
    Heldout,
    Requested,
    TextModel,
    content_vectors,
    heldout,
    histories_of,
    reindex,
)
from recsys.scoring.baselines import baselines
from recsys.scoring.blend import Blend, FittedBlend
from recsys.scoring.hybrid import HybridRecommender
from recsys.scoring.recommender import (
    Recommender,
    ScoredRecommender,
    TowerRecommender,
    Towers,
    recommendable_items,
)

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
    fitted = FittedBlend.fit(blend, dataset, split) if blend else None
    hybrid = [HybridRecommender(dataset, towers, recommendable, fitted)] if fitted else []
    recommenders: list[ScoredRecommender] = [
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
        counts=_counts(config, dataset, users, recommendable, split),
        slice_counts=_slice_counts(dataset, users, slices),
        decile_counts=np.bincount(popularity_deciles(dataset)[users.relevant.indices], minlength=N_DECILES).tolist(),
        cut_offs=cut_offs(config, recommendable),
        user_rows=np.asarray(users.user_rows),
        user_slices=slices,
        sample=sample_lists(recommenders[0], users, main_k(config)),
    )


@dataclass(frozen=True)
class ServedModel:
    """A model as it serves: what it was encoded with, the ids of its item rows, its towers and its fitted blend."""

    spec: FeatureSpec
    text_model: TextModel
    item_ids: Sequence[str]
    towers: Towers
    blend: FittedBlend | None = None


def evaluate_champion(
    config: Config, dataset: Dataset, served: ServedModel, split: int = 2, name: str = "champion"
) -> ModelResult:
    """Return a model as it serves on the users and items `evaluate` measures, seen through its own spec.

    Nothing of it is fitted again: items it knows keep the vectors they serve with, users and items it does not know are
    encoded from demographics and content, and its blend says nothing about those items.
    """
    recommender, users = served_recommender(dataset, served, measured_users(config, dataset, split), split, name)
    return evaluate_recommender(config, dataset, recommender, users, recommendable_items(dataset, split))


def served_recommender(
    dataset: Dataset, served: ServedModel, users: Requested, split: int, name: str
) -> tuple[TowerRecommender, Requested]:
    """Return a model as it serves over a dataset's items, and users with the histories it would read."""
    mapped = reindex(dataset, served.spec, served.text_model)
    there, vectors = recommendable_items(dataset, split), _vectors_of(served, mapped)
    users = replace(users, seen=histories_of(mapped, users, split)) if served.spec.history_since else users
    if served.blend is None:
        return TowerRecommender(mapped, served.towers, there, name, vectors=vectors), users
    blend = served.blend.mapped(served.item_ids, dataset.items.ids.tolist())
    return HybridRecommender(mapped, served.towers, there, blend, name, vectors=vectors), users


def _vectors_of(served: ServedModel, mapped: Dataset) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return item and history vectors of a dataset's items: the model's own of those it knows, else by content."""
    places = {item: row for row, item in enumerate(served.item_ids)}
    own = np.array([places.get(item, -1) for item in mapped.items.ids.tolist()], np.int64)
    known = own >= 0
    result = []
    for fresh, kept in zip(
        served.towers.encode_items(mapped.items),
        (served.towers.item_vectors, served.towers.history_vectors),
        strict=True,
    ):
        vectors = np.array(fresh)
        vectors[known] = kept[own[known]]
        result.append(vectors)
    return result[0], result[1]


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
    content = partial(content_vectors, dataset)
    metrics: dict[str, float] = {}
    for asked, cut in used.items():
        for metric, function in ACCURACY.items():
            metrics[f"{metric}_at_{asked}"] = average(function(hits[:, :cut], n_relevant))
        described = lists.averages(items[:, :cut], int(recommendable.sum()), dataset.items.train_count, content)
        metrics |= {f"{name}_at_{asked}": value for name, value in described.items()}
    return ModelResult(
        name=recommender.name,
        metrics=metrics,
        interval=interval(per_user, config.promotion.n_bootstrap, config.evaluation.seed),
        slices=_slices(dataset, users, items[:, :k], hits[:, :k], main_k(config)),
        deciles=_deciles(dataset, users, items[:, :k], hits[:, :k]),
        per_user=per_user,
    )


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


def _counts(
    config: Config, dataset: Dataset, users: Heldout, recommendable: NDArray[np.bool_], split: int
) -> dict[str, int]:
    events = dataset.events
    active = np.repeat(np.arange(len(dataset.users.ids)), np.diff(events.offsets))[
        np.asarray(events.positive) & (np.asarray(events.split) == split)
    ]
    everybody = heldout(dataset, split)
    available = int(everybody.user_rows.size)
    return {
        "n_users": int(users.user_rows.size),
        "n_users_available": available,
        "n_users_without_analytics": available - int(with_analytics(config, dataset, everybody).user_rows.size),
        "n_users_without_relevant": int(np.unique(active).size) - available,
        "n_items": len(dataset.items.ids),
        "n_recommendable": int(recommendable.sum()),
        "n_relevant": int(users.relevant.nnz),
    }


def _slice_counts(dataset: Dataset, users: Heldout, slices: dict[str, Bools]) -> dict[str, int]:
    relevant = {name: int(mask[users.relevant.indices].sum()) for name, mask in item_slices(dataset).items()}
    return {name: int(mask.sum()) for name, mask in slices.items()} | relevant
