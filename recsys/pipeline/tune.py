"""A whole search in one call: features, trials one after another, the best settings into the registry."""

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from recsys.config import Config
from recsys.pipeline.data import build_features, select
from recsys.pipeline.tuning import adopt_best, open_study, plan_trials, run_trial

Json = dict[str, Any]  # Any: JSON, checked by the models that read it


def tune(config: Config, as_of: str | None, run_name: str, console: Console) -> Json:
    """Run the trials that are left of the study, adopt its best settings and print what came of it.

    A bar moves in a terminal; a log gets one line for each trial. Start it twice to use more cores: both processes
    work on the same study.
    """
    chosen = select(config, as_of)
    study = open_study(config, build_features(config, chosen["dataset"])["features"], chosen["dataset"], run_name)
    console.print(f"study {study['study']}: searching {', '.join(study['space'])}", soft_wrap=True, markup=False)
    _run_trials(config, study, console)
    outcome = adopt_best(config, study)
    console.print(_table(study, outcome))
    console.print(_verdict(outcome, study))
    return outcome


def _run_trials(config: Config, study: Json, console: Console) -> None:
    n_left = len(plan_trials(config, study))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("trials", total=n_left)

        def on_epoch(epoch: int, record: dict[str, float]) -> None:
            bar.update(task, description=f"epoch {epoch}: nDCG@10 {record['val_ndcg_at_10']:.4f}")

        while n_left:
            ended = run_trial(config, study, on_epoch)
            if ended["state"] == "idle":
                console.print(ended["reason"])
                return
            value = f"{ended['value']:.4f}" if ended["value"] is not None else ended["reason"]
            console.print(
                f"trial {ended['trial']:>3} {ended['state']:<8} {value}", soft_wrap=True, markup=False, highlight=False
            )
            n_left = len(plan_trials(config, study))
            bar.advance(task)


def _verdict(outcome: Json, study: Json) -> str:
    if outcome["adopted"]:
        return "adopted: the next training uses them"
    same = _is_current(outcome, study)
    return "nothing to adopt: the current settings are the best" if same else "not adopted: no better than the current"


def _is_current(outcome: Json, study: Json) -> bool:
    return all(outcome["settings"][name] == value for name, value in study["current"].items())


def _table(study: Json, outcome: Json) -> Table:
    before = "failed" if outcome["baseline"] is None else f"{outcome['baseline']:.4f}"
    current = "current" if _is_current(outcome, study) else f"current ({before})"
    best = f"trial {outcome['trial']} ({outcome['value']:.4f})"
    table = Table("setting", current, best, title=f"{study['study']}: {outcome['metric']}")
    for name, value in study["current"].items():
        values = (value, outcome["settings"][name])
        cells = [f"{each:.3g}" if isinstance(each, float) else str(each) for each in values]
        table.add_row(name, *cells)
    return table
