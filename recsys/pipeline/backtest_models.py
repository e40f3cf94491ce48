"""The models a backtest can fit, by name: one line in `builders` makes one more."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from recsys.config import Config
from recsys.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from recsys.features import Dataset, Heldout
    from recsys.model import ExportedTowers

OnEpoch = Callable[[int, dict[str, float]], None]
_DAY_S = 86_400


class Ranker(Protocol):
    """A recommender that also tells its scores."""

    @property
    def name(self) -> str:
        """The name under which it is reported."""
        ...

    def ranked(self, heldout: "Heldout", k: int) -> "tuple[NDArray[np.int32], NDArray[np.float64]]":
        """Return item rows [n_users, k], -1 as padding, and their scores."""
        ...


@dataclass(frozen=True)
class Fit:
    """What a model is fitted on: `config.model.seed` is the training seed.

    `folder` is shared by the models of one fold and seed, so that towers are trained once. `whole()` is the same data
    with the validation events in train.
    """

    config: Config
    dataset: "Dataset"
    whole: "Callable[[], Dataset]"
    split: int
    recommendable: "NDArray[np.bool_]"
    folder: Path
    on_epoch: OnEpoch


@dataclass(frozen=True)
class Builder:
    """How a model is fitted, whether its result depends on the training seed, and whether it must beat popularity."""

    fit: Callable[[Fit], Ranker]
    seeded: bool = False
    is_baseline: bool = True


def builders(config: Config) -> dict[str, Builder]:
    """Return the configured models in their order, popularity among them if it must be beaten.

    Raises ConfigError naming a model that does not exist.
    """
    settings = config.backtest
    known = {
        "two_tower": Builder(_two_tower, seeded=True, is_baseline=False),
        "hybrid": Builder(_hybrid, seeded=True, is_baseline=False),
        "ease": Builder(_ease),
        "item_knn": Builder(_item_knn),
        "graph_filter": Builder(_graph_filter),
        "covisitation": Builder(_covisitation),
        "content_knn": Builder(_content_knn),
        "popularity": Builder(_popularity),
        "recent_popularity": Builder(_recent_popularity),
        "random": Builder(_random, seeded=True),
    }
    names = list(settings.models)
    if settings.must_beat_popularity and "popularity" not in names:
        names.append("popularity")
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(f"backtest.models must be among {', '.join(known)}; got {', '.join(unknown)}")
    if taken := [name for name in settings.recommendations if name in known]:
        raise ConfigError(f"backtest.recommendations must not be named as a model of ours: {', '.join(taken)}")
    given = {name: Builder(_given(name, uri)) for name, uri in settings.recommendations.items()}
    return {name: known[name] for name in names} | given


def _two_tower(fit: Fit) -> Ranker:
    from recsys.scoring import TowerRecommender

    towers = _towers(fit, fit.dataset, "validated")
    if not fit.config.backtest.refit:
        return TowerRecommender(fit.dataset, towers, fit.recommendable)
    whole = fit.whole()
    return TowerRecommender(whole, _refitted(fit, whole), fit.recommendable)


def _hybrid(fit: Fit) -> Ranker:
    from recsys.evaluation import choose_blend
    from recsys.scoring import FittedBlend, HybridRecommender

    dataset, towers = fit.dataset, _towers(fit, fit.dataset, "validated")
    blend = choose_blend(fit.config, dataset, towers)
    if fit.config.backtest.refit:
        dataset = fit.whole()
        towers = _refitted(fit, dataset)
    return HybridRecommender(dataset, towers, fit.recommendable, FittedBlend.fit(blend, dataset, fit.split))


def _refitted(fit: Fit, whole: "Dataset") -> "ExportedTowers":
    """Return towers trained on train and validation for what validation asked, for as many epochs as it chose."""
    from recsys.model import ExportedTowers

    told = ExportedTowers.training(fit.folder / "validated")
    return _towers(fit, whole, "refitted", {"epochs": told["best_epoch"], "task": told["task"]})


def _towers(fit: Fit, dataset: "Dataset", name: str, settings: dict[str, object] | None = None) -> "ExportedTowers":
    """Return the towers of the fold and seed, trained if no model before asked for them."""
    from recsys.model import ExportedTowers, train

    folder = fit.folder / name
    if not folder.exists():
        model = fit.config.model.model_copy(update=settings or {})
        train(fit.config.model_copy(update={"model": model}), dataset, folder, fit.on_epoch)
    return ExportedTowers.load(folder)


def _ease(fit: Fit) -> Ranker:
    from recsys.scoring import Ease

    settings = fit.config.backtest
    return Ease(fit.dataset, fit.recommendable, fit.split, settings.ease_l2, settings.ease_max_items)


def _item_knn(fit: Fit) -> Ranker:
    from recsys.scoring import ItemKnn

    return ItemKnn(fit.dataset, fit.recommendable, fit.split, fit.config.evaluation.knn_neighbours)


def _graph_filter(fit: Fit) -> Ranker:
    from recsys.scoring import GraphFilter

    return GraphFilter(fit.dataset, fit.recommendable, fit.split)


def _covisitation(fit: Fit) -> Ranker:
    from recsys.scoring import Covisitation

    return Covisitation(fit.dataset, fit.recommendable, fit.split)


def _content_knn(fit: Fit) -> Ranker:
    from recsys.scoring import ContentKnn

    return ContentKnn(fit.dataset, fit.recommendable)


def _popularity(fit: Fit) -> Ranker:
    from recsys.scoring import Popularity

    return Popularity(fit.dataset, fit.recommendable, fit.split)


def _recent_popularity(fit: Fit) -> Ranker:
    import numpy as np

    from recsys.scoring import Popularity

    events = fit.dataset.events
    last = int(np.asarray(events.timestamp)[np.asarray(events.split) < fit.split].max())
    return Popularity(fit.dataset, fit.recommendable, fit.split, last - fit.config.evaluation.recent_days * _DAY_S)


def _random(fit: Fit) -> Ranker:
    from recsys.scoring import Random

    return Random(fit.recommendable, fit.config.model.seed)


def _given(name: str, uri: str) -> Callable[[Fit], Ranker]:
    from recsys.evaluation import GivenLists

    def open_lists(fit: Fit) -> Ranker:
        fold = str(fit.dataset.spec.info["fold"])
        return GivenLists(name, fit.dataset, fit.recommendable, uri.replace("{fold}", fold))

    return open_lists
