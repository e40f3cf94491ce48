"""What a study looked like: history, importances of the settings, parallel coordinates."""

import warnings
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from recsys.model.study import Study

_MIN_TRIALS = 2  # importances and coordinates of one trial say nothing


def study_figures(study: "Study") -> dict[str, Figure]:
    """Return Optuna's plots by name; those that need two completed trials only when there are two."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot
    from optuna.exceptions import ExperimentalWarning
    from optuna.visualization import matplotlib as plots

    completed = [trial for trial in study.trials() if trial.value is not None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # "the interface can change": the version is pinned
        drawn = {"history": plots.plot_optimization_history(study.handle)}
        if len(completed) >= _MIN_TRIALS:
            drawn["parallel_coordinates"] = plots.plot_parallel_coordinate(study.handle)
        if len({trial.value for trial in completed}) >= _MIN_TRIALS:
            drawn["importances"] = plots.plot_param_importances(study.handle)
    figures = {name: axes.get_figure(root=True) for name, axes in drawn.items()}
    for figure in figures.values():
        if figure is not None:
            figure.set_size_inches(10, 6)
            figure.subplots_adjust(bottom=0.2, left=0.15)  # slanted names of settings stand below the axes
            pyplot.close(figure)  # drawn when it is logged; pyplot must not keep it
    return {name: figure for name, figure in figures.items() if figure is not None}
