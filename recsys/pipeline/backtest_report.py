"""A backtest's report: means, slices, intervals and paired comparisons; and its files, written aside and renamed."""

import os
import platform
import re
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys.config import Config
from recsys.errors import StorageError
from recsys.redaction import shown_settings
from recsys.schema import ITEM_ID, RANK, SCORE, USER_ID
from recsys.storage import digest_of, write_json

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from recsys.evaluation import Pooled
    from recsys.pipeline.backtest import FittedModel, Fold

Json = dict[str, Any]  # Any: JSON
FOLD, SEED, SOURCE = "fold", "seed", "source"
METRICS_FILE, LISTS_FILE, TRUTH_FILE, TIMING_FILE = (
    "metrics.json",
    "recommendations.parquet",
    "heldout.parquet",
    "timing.json",
)
_READABLE = 0o644
_LIBRARIES = ("recsys", "numpy", "scipy", "polars", "tensorflow", "onnxruntime")


def check_folder(out: Path) -> None:
    """Raise StorageError when a report could not be written into `out`, which need not exist; leave no trace."""
    if re.match(r"\w{2,}:/", str(out)):
        raise StorageError(f"--out must be a local folder; got the address {out}")
    there = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise StorageError(f"cannot write the backtest into {out}: {there} is no folder that can be written")
    for name in (LISTS_FILE, TRUTH_FILE, TIMING_FILE, METRICS_FILE):
        if (out / name).is_dir():
            raise StorageError(f"cannot write the backtest into {out}: {out / name} is a folder; remove it")


def report_of(config: Config, folds: "Sequence[Fold]", names: Sequence[str]) -> Json:
    """Return everything `metrics.json` holds; the same data, configuration and versions give the same report."""
    import numpy as np

    settings = config.backtest
    users = np.unique(np.concatenate([_ids(fold) for fold in folds]))
    pooled = {name: _pooled(folds, name, users) for name in names}
    resampled = {name: each.resampled(settings.n_bootstrap, config.evaluation.seed) for name, each in pooled.items()}
    return {
        "name": config.name,
        "protocol": settings.protocol,
        "main_metric": settings.main_metric,
        "recall_denominator": settings.recall_denominator,
        "ks": list(settings.ks),
        "seeds": list(settings.seeds),
        "folds": [fold.name for fold in folds],
        "counts": {fold.name: _counts(fold) for fold in folds} | {"n_users": len(users)},
        "models": {name: _model(config, folds, name, users, pooled[name], resampled[name]) for name in names},
        "comparisons": [_comparison(a, b, pooled, resampled, settings.main_metric) for a, b in combinations(names, 2)],
        "n_bootstrap": settings.n_bootstrap,
        "config": shown_settings(config.model_dump(mode="json")),
        "config_digest": digest_of(config.model_dump(mode="json")),
        "versions": {name: version(name) for name in _LIBRARIES} | {"python": platform.python_version()},
    }


def write_report(config: Config, folds: "Sequence[Fold]", report: Json, out: Path) -> None:
    """Write the lists, what they are measured against, the cost and, last, the metrics into `out`.

    Whoever finds `metrics.json` finds the files it belongs to. Raises StorageError when `out` cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=".writing-") as folder:
            aside = Path(folder)
            _lists(folds, config).write_parquet(aside / LISTS_FILE)
            _truth(folds).write_parquet(aside / TRUTH_FILE)
            write_json(str(aside / TIMING_FILE), _timing(folds))
            write_json(str(aside / METRICS_FILE), report)
            (out / METRICS_FILE).unlink(missing_ok=True)
            for name in (LISTS_FILE, TRUTH_FILE, TIMING_FILE, METRICS_FILE):
                (aside / name).chmod(_READABLE)
                (aside / name).replace(out / name)
    except OSError as error:
        raise StorageError(f"cannot write the backtest into {out}: {error.strerror or error}; free space or fix its "
                           "permissions, then run again") from error  # fmt: skip


def _model(
    config: Config,
    folds: "Sequence[Fold]",
    name: str,
    users: "NDArray[np.object_]",
    pooled: "Pooled",
    resampled: "NDArray[np.float64]",
) -> Json:
    from recsys.evaluation import intervals

    runs = [(fold, model) for fold in folds for model in fold.models if model.name == name]
    seeds = sorted({model.seed for _, model in runs if model.seed is not None})
    return {
        "metrics": pooled.means() | _mean_traits([model for _, model in runs]),
        "intervals": intervals(pooled.names, resampled),
        "by_seed": {str(seed): _pooled(folds, name, users, seed).means() for seed in seeds},
        "by_fold": {fold.name: _pooled([fold], name, users).means() for fold in folds},
        "slices": _slices(config, folds, name, users),
    }


def _slices(config: Config, folds: "Sequence[Fold]", name: str, users: "NDArray[np.object_]") -> Json:
    from recsys.evaluation import Pooled, intervals

    parts: dict[str, list[Any]] = {}
    for fold in folds:
        masks = _masks(fold)
        for model in (each for each in fold.models if each.name == name):
            for label, values in _sliced(model, masks).items():
                parts.setdefault(label, []).append((_ids(fold), values))
    result: Json = {}
    for label, own in parts.items():
        pooled = Pooled.of(own, users).measured()
        result[label] = {
            "n_users": len(pooled.sums),
            "metrics": pooled.means(),
            "intervals": intervals(pooled.names, pooled.resampled(config.backtest.n_bootstrap, config.evaluation.seed)),
        }
    return result


def _sliced(model: "FittedModel", masks: "dict[str, NDArray[np.bool_]]") -> Json:
    import numpy as np

    values = model.measured.values
    of_users = {
        label: {metric: np.where(mask, each, np.nan) for metric, each in values.items()}
        for label, mask in masks.items()
    }
    return of_users | dict(model.measured.of_items)


def _masks(fold: "Fold") -> "dict[str, NDArray[np.bool_]]":
    from recsys.evaluation import user_slices

    return user_slices(fold.dataset, fold.users)


def _pooled(folds: "Sequence[Fold]", name: str, users: "NDArray[np.object_]", seed: int | None = None) -> "Pooled":
    from recsys.evaluation import Pooled

    runs = [(fold, model) for fold in folds for model in fold.models if model.name == name]
    return Pooled.of([(_ids(fold), model.measured.values) for fold, model in runs if seed in (None, model.seed)], users)


def _comparison(
    a: str, b: str, pooled: "dict[str, Pooled]", resampled: "dict[str, NDArray[np.float64]]", metric: str
) -> Json:
    from recsys.evaluation import intervals

    column = pooled[a].names.index(metric)
    difference = resampled[a][:, column] - resampled[b][:, column]
    low, high = intervals([metric], difference[:, None])[metric]
    mean = pooled[a].means()[metric] - pooled[b].means()[metric]
    return {"a": a, "b": b, "metric": metric, "mean": mean, "low": low, "high": high}


def _mean_traits(models: "Sequence[FittedModel]") -> dict[str, float]:
    names = models[0].measured.traits
    return {name: sum(model.measured.traits[name] for model in models) / len(models) for name in names}


def _counts(fold: "Fold") -> dict[str, int]:
    import numpy as np

    splits = np.asarray(fold.dataset.events.split)[np.asarray(fold.dataset.events.positive)]
    named = {"known": -1, "train": 0, "validation": 1, "test": 2}
    counted = {f"n_{name}": int((splits == split).sum()) for name, split in named.items()}
    return counted | {
        "n_users_measured": len(fold.users.user_rows),
        "n_users_without_train": int(fold.users.cold_user.sum()),
        "n_items": len(fold.dataset.items.ids),
        "n_recommendable": int(fold.recommendable.sum()),
        "n_relevant": int(fold.users.relevant.nnz),
    }


def _ids(fold: "Fold") -> "NDArray[np.object_]":
    import numpy as np

    return np.asarray(fold.dataset.users.ids[fold.users.user_rows])


def _user_ids(fold: "Fold", users: "NDArray[np.integer]") -> "pl.Series":
    """Return the ids of some of the measured users, by their places among them."""
    ids: pl.Series = fold.dataset.users.ids[fold.users.user_rows[users]].to_series()
    return ids


def _lists(folds: "Sequence[Fold]", config: Config) -> "pl.DataFrame":
    """Return one row per (fold, source, seed, user, rank); models that no seed moves stand under the first seed."""
    import polars as pl

    first = config.backtest.seeds[0]
    return pl.concat(
        _list(fold, model, first if model.seed is None else model.seed) for fold in folds for model in fold.models
    )


def _list(fold: "Fold", model: "FittedModel", seed: int) -> "pl.DataFrame":
    import numpy as np
    import polars as pl

    users, places = np.nonzero(model.items >= 0)
    return pl.DataFrame(
        {
            USER_ID: _user_ids(fold, users),
            ITEM_ID: fold.dataset.items.ids[model.items[users, places]].to_series(),
            RANK: (places + 1).astype(np.int32),
            SCORE: model.scores[users, places],
        }
    ).with_columns(pl.lit(model.name).alias(SOURCE), pl.lit(fold.name).alias(FOLD), pl.lit(seed, pl.Int64).alias(SEED))


def _truth(folds: "Sequence[Fold]") -> "pl.DataFrame":
    import polars as pl

    frames = []
    for fold in folds:
        users, items = fold.users.relevant.nonzero()
        pairs = {USER_ID: _user_ids(fold, users), ITEM_ID: fold.dataset.items.ids[items].to_series()}
        frames.append(pl.DataFrame(pairs).with_columns(pl.lit(fold.name).alias(FOLD)))
    return pl.concat(frames)


def _timing(folds: "Sequence[Fold]") -> list[Json]:
    return [
        {FOLD: fold.name, "model": model.name, SEED: model.seed, "seconds": model.seconds}
        for fold in folds
        for model in fold.models
    ]
