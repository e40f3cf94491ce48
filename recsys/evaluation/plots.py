"""Figures for a run's page in MLflow. Each function returns a new Figure and touches no global state."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recsys.evaluation.report import EvaluationReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK, _GRID, _QUIET = "#1f2933", "#d9dee4", "#9aa5b1"
_COLOURS = ("#0f62fe", "#da1e28", "#198038", "#8a3ffc", "#b28600", "#007d79", "#ee538b", "#6f6f6f")
_LABELS = {
    "hybrid": "hybrid",
    "two_tower": "two-tower",
    "random": "random",
    "popularity": "popularity",
    "recent_popularity": "recent popularity",
    "item_knn": "item-kNN",
}
_BLOCK = 65_536  # vectors taken as float64 at a time


def learning_curve(history: Sequence[Mapping[str, float]]) -> "Figure":
    """Plot training loss and each validation metric by epoch; the best epoch of the last metric is marked."""
    names = [name for name in (history[0] if history else {}) if name not in ("epoch", "seconds", "learning_rate")]
    losses = [name for name in names if "loss" in name]
    scores = [name for name in names if "ndcg" in name] or [name for name in names if name not in losses]
    figure, (left, right) = _figure(1, 2, (10, 4))
    epochs = np.arange(1, len(history) + 1)
    for axes, chosen, title in ((left, losses, "Loss"), (right, scores, "Validation nDCG")):
        for name, colour in zip(chosen, _COLOURS, strict=False):
            values = np.array([float(row.get(name, np.nan)) for row in history])
            axes.plot(epochs, values, marker="o", markersize=4, color=colour, label=name)
            if axes is right and np.isfinite(values).any():
                best = int(np.nanargmax(values))
                axes.annotate(
                    f"best {values[best]:.4f}",
                    (epochs[best], values[best]),
                    xytext=(0, 8),
                    textcoords="offset points",
                    ha="center",
                    fontsize=8,
                    color=_INK,
                )
        _style(axes, title, "epoch", "value")
        if chosen:
            axes.legend(frameon=False)
    return figure


def metrics_against_baselines(report: EvaluationReport) -> "Figure":
    """Plot the model beside each baseline at the main k; the main metric carries 95 % bootstrap intervals."""
    k = report.main_metric.rsplit("_", 1)[1]
    names = [f"{metric}_at_{k}" for metric in ("ndcg", "recall", "mrr", "hit_rate")]
    models = list(report.results)
    figure, (axes,) = _figure(1, 1, (10, 4.5))
    width = 0.8 / len(models)
    for position, model in enumerate(models):
        values = np.array([report.metrics[model][name] for name in names])
        places = np.arange(len(names)) + (position - (len(models) - 1) / 2) * width
        low, high = report.results[model].interval
        spread = np.zeros((2, len(names)))
        spread[:, names.index(report.main_metric)] = (max(values[0] - low, 0.0), max(high - values[0], 0.0))
        bars = axes.bar(places, values, width * 0.92, color=_colour(model, position), label=_label(model))
        axes.errorbar(places[:1], values[:1], yerr=spread[:, :1], fmt="none", ecolor=_INK, capsize=3, linewidth=1)
        axes.bar_label(bars, fmt="%.3f", fontsize=7, padding=3, color=_INK)
    axes.set_xticks(np.arange(len(names)), [name.replace("_at_", "@").replace("_", " ") for name in names])
    _style(axes, f"Model and baselines on {report.counts['n_users']:,} held-out users", "", "mean over users")
    axes.legend(frameon=False, ncols=len(models), loc="upper left")
    axes.margins(y=0.2)
    return figure


def recall_by_popularity_decile(report: EvaluationReport) -> "Figure":
    """Plot each recommender's recall for relevant items of each popularity decile, rarest first."""
    figure, (axes,) = _figure(1, 1, (9, 4.5))
    places = np.arange(1, len(report.decile_counts) + 1)
    for position, (name, result) in enumerate(report.results.items()):
        values = np.array([np.nan if value is None else value for value in result.deciles])
        bold = name == report.model
        axes.plot(
            places,
            values,
            marker="o",
            markersize=6 if bold else 3,
            linewidth=2.5 if bold else 1.2,
            color=_colour(name, position),
            label=_label(name),
        )
    axes.set_xticks(places, [f"{n}\n{count:,}" for n, count in zip(places, report.decile_counts, strict=True)])
    k = report.main_metric.rsplit("_", 1)[1]
    x = "decile of train popularity (10 = most popular), with its relevant items"
    _style(axes, f"Recall@{k} by popularity of the item", x, "recall")
    axes.legend(frameon=False)
    return figure


def embedding_projection(
    item_vectors: NDArray[np.float32], categories: Sequence[str], max_points: int = 5000
) -> "Figure":
    """Plot item vectors [n_items, d] on their first two principal components, coloured by first category.

    The seven most frequent categories have a colour of their own; the rest share one. Points beyond `max_points` are
    left out evenly.
    """
    if len(categories) != item_vectors.shape[0]:
        raise ValueError(f"categories must have {item_vectors.shape[0]} entries; got {len(categories)}")
    chosen = np.unique(np.linspace(0, max(len(categories) - 1, 0), max_points).astype(int))[: len(categories)]
    points, shares = _principal(item_vectors, chosen)
    labels = np.array([categories[row] or "none" for row in chosen])
    names, counts = np.unique(labels, return_counts=True)
    top = names[np.argsort(-counts, kind="stable")][: len(_COLOURS) - 1]
    figure, (axes,) = _figure(1, 1, (7.5, 6))
    rest = ~np.isin(labels, top)
    if rest.any():
        axes.scatter(points[rest, 0], points[rest, 1], s=8, color=_QUIET, alpha=0.5, label="other", linewidths=0)
    for name, colour in zip(top, _COLOURS, strict=False):
        axes.scatter(
            points[labels == name, 0],
            points[labels == name, 1],
            s=10,
            color=colour,
            alpha=0.7,
            label=str(name),
            linewidths=0,
        )
    _style(axes, "Item vectors by first category", f"PC 1 ({shares[0]:.0%})", f"PC 2 ({shares[1]:.0%})")
    if len(chosen):
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _principal(vectors: NDArray[np.floating], chosen: NDArray[np.int64]) -> tuple[NDArray[np.float64], list[float]]:
    if not chosen.size:
        return np.zeros((0, 2)), [0.0, 0.0]
    mean = vectors.mean(axis=0, dtype=np.float64)
    scatter = np.zeros((len(mean), len(mean)))
    for start in range(0, len(vectors), _BLOCK):
        centred = vectors[start : start + _BLOCK] - mean
        scatter += centred.T @ centred
    values, directions = np.linalg.eigh(scatter)  # ascending
    axes = directions[:, ::-1][:, :2]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])  # a sign that never flips
    points = np.zeros((chosen.size, 2))
    points[:, : axes.shape[1]] = (vectors[chosen] - mean) @ axes
    shares = np.zeros(2)
    shares[: axes.shape[1]] = np.maximum(values[::-1][:2], 0) / max(values.sum(), 1e-12)
    return points, shares.tolist()


def _figure(rows: int, columns: int, size: tuple[float, float]) -> "tuple[Figure, list[Axes]]":
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # here, as what serves imports this room too
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, list(axes.ravel())


def _style(axes: "Axes", title: str, x: str, y: str) -> None:
    axes.set_title(title, loc="left", fontsize=12, color=_INK, fontweight="bold")
    axes.set_xlabel(x, color=_INK)
    axes.set_ylabel(y, color=_INK)
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=_INK, length=0)


def _label(name: str) -> str:
    return _LABELS.get(name, name.replace("_", " "))


def _colour(name: str, position: int) -> str:
    return _COLOURS[position % len(_COLOURS)] if name != "random" else _QUIET
