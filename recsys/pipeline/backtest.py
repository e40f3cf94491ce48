"""Fit and measure models on any data by protocol: folds x models x seeds in, one report and all lists out."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys.config import Config
from recsys.errors import ConfigError, GateError, RecsysError
from recsys.pipeline.backtest_models import Builder, Fit, builders
from recsys.pipeline.backtest_report import check_folder, report_of, write_report
from recsys.pipeline.cases import load_folds

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from recsys.evaluation import Measured
    from recsys.features import Dataset, Heldout

Json = dict[str, Any]  # Any: JSON, checked by the models that read it
OnEpoch = Callable[[str, int, dict[str, float]], None]
_TEST = 2


@dataclass(frozen=True)
class FittedModel:
    """One model's lists for the users of a fold; `seed` is None where the result does not depend on it."""

    name: str
    seed: int | None
    items: "NDArray[np.int32]"
    scores: "NDArray[np.float64]"
    measured: "Measured"
    seconds: dict[str, float]


@dataclass(frozen=True)
class Fold:
    """The held-out users of one fold, and every model's lists for them."""

    name: str
    dataset: "Dataset"
    whole: "Callable[[], Dataset]"
    users: "Heldout"
    recommendable: "NDArray[np.bool_]"
    models: list[FittedModel] = field(default_factory=list)


def backtest(config: Config, out: Path, on_epoch: OnEpoch) -> Json:
    """Fit every configured model on every fold, measure it on test, and write the report into `out`.

    `on_epoch` hears the name of what trains, the epoch and its record. Returns what `metrics.json` holds. Nothing is
    written when the data, a split, the settings or a training is bad. Raises StorageError, before anything is read,
    when `out` cannot be written, and GateError, after writing, when a model that must beat popularity does not.
    """
    chosen = builders(config)
    check_folder(out)
    folds = [_measured_fold(config, name, build, chosen, on_epoch) for name, build in load_folds(config)]
    report = report_of(config, folds, list(chosen))
    write_report(config, folds, report, out)
    _refuse_losers(config, chosen, report)
    return report


def _measured_fold(
    config: Config, name: str, build: "Callable[..., Dataset]", chosen: dict[str, Builder], on_epoch: OnEpoch
) -> Fold:
    from recsys.evaluation import with_analytics
    from recsys.features import heldout
    from recsys.scoring import recommendable_items

    dataset = build()
    users = with_analytics(config, dataset, heldout(dataset, _TEST))
    recommendable = recommendable_items(dataset, _TEST) if users.candidates is None else users.candidates
    fold = Fold(name, dataset, partial(build, train_validation=True), users, recommendable)
    _check(config, fold)
    # Models without a seed take seconds: what does not fit into memory is known before towers train for minutes.
    quick_first = sorted(chosen.items(), key=lambda each: each[1].seeded)
    with tempfile.TemporaryDirectory(prefix="recsys-backtest-") as folder:
        for model, builder in quick_first:
            for seed in config.backtest.seeds if builder.seeded else (None,):
                fold.models.append(_fitted(config, fold, model, builder, seed, Path(folder) / str(seed), on_epoch))
    return fold


def _check(config: Config, fold: Fold) -> None:
    n_items, k = int(fold.recommendable.sum()), max(config.backtest.ks)
    if not fold.users.relevant.nnz:
        raise RecsysError(
            f"fold {fold.name} must hold out a user with a new positive item; got none: read more events, or change "
            "what the protocol holds out"
        )
    if k > n_items:
        raise ConfigError(f"backtest.ks must be <= {n_items} (items that may be recommended in test); got {k}")


def _fitted(
    config: Config, fold: Fold, name: str, builder: Builder, seed: int | None, folder: Path, on_epoch: OnEpoch
) -> FittedModel:
    from recsys.evaluation import measure

    settings = config.backtest
    own = (
        config if seed is None else config.model_copy(update={"model": config.model.model_copy(update={"seed": seed})})
    )
    title = f"{name}, fold {fold.name}" + (f", seed {seed}" if seed is not None else "")
    started = time.perf_counter()
    hear = partial(on_epoch, title)
    model = builder.fit(Fit(own, fold.dataset, fold.whole, _TEST, fold.recommendable, folder, hear))
    fitted = time.perf_counter()
    items, scores = model.ranked(fold.users, max(settings.ks))
    ranked = time.perf_counter()
    measured = measure(
        fold.dataset,
        fold.users,
        items,
        settings.ks,
        n_recommendable=int(fold.recommendable.sum()),
        full_recall=settings.recall_denominator == "relevant",
    )
    return FittedModel(name, seed, items, scores, measured, {"fit": fitted - started, "rank": ranked - fitted})


def _refuse_losers(config: Config, chosen: dict[str, Builder], report: Json) -> None:
    settings = config.backtest
    if not settings.must_beat_popularity:
        return
    judged = [name for name in chosen if not chosen[name].is_baseline or name == settings.models[0]]
    values = {name: report["models"][name]["metrics"][settings.main_metric] for name in chosen}
    losers = [name for name in judged if name != "popularity" and values[name] <= values["popularity"]]
    if losers:
        found = ", ".join(f"{name} {values[name]:.4f}" for name in losers)
        raise GateError(
            f"does not beat popularity on {settings.main_metric}: {found}, popularity {values['popularity']:.4f}; "
            "the report is written; look at the learning curve and the features, or set "
            "backtest.must_beat_popularity = false"
        )
