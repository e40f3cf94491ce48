"""The tuning stages: open a study, run one trial, adopt the best settings. Only train and validation days are seen."""

import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from recsys.config import Config, ModelConfig
from recsys.errors import ConfigError, DataError
from recsys.pipeline.addresses import at_present
from recsys.pipeline.training import print_epoch
from recsys.pipeline.tuned import with_tuned
from recsys.space import Domain
from recsys.storage import digest_of, is_local, join, local_path

Json = dict[str, Any]  # Any: JSON, checked by the models that read it
OnEpoch = Callable[[int, dict[str, float]], None]


@at_present
def open_study(
    config: Config,
    features: str,
    dataset: str,
    run_name: str = "tuning",
    tags: Mapping[str, str] | None = None,
) -> Json:
    """Open the study of this data and space with its MLflow run, and see that the current settings are tried.

    Settings written in `[model]` are kept as they are and not searched. Raises ConfigError when nothing is left to
    search or the study was begun with other data, DataError when nobody can be measured on validation days.
    """
    from recsys.registry.runs import run_url
    from recsys.registry.studies import end_trial_run, open_parent

    space = {name: domain for name, domain in config.tuning.space.items() if name not in config.model.model_fields_set}
    if not space:
        raise ConfigError("every setting of tuning.space is written in [model]: remove one there to search it")
    _check_validation(features)
    model = with_tuned(config)[0].model
    facts = _facts(model, space, features)
    name = config.tuning.study or re.sub(r"[^\w.-]", "-", f"{config.name}-{digest_of(facts)}")
    current = {setting: getattr(model, setting) for setting in space}
    study: Json = {"study": name, "n_trials": config.tuning.n_trials, "facts": facts, "features": features,
                   "dataset": dataset, "model": model.model_dump(mode="json", exclude_unset=True), "current": current,
                   "space": {setting: domain.model_dump(mode="json") for setting, domain in space.items()},
                   "began": time.time(), "tags": dict(tags or {})}  # fmt: skip
    opened = _open(config, study)
    for run_id in opened.bury_killed():
        end_trial_run(config, run_id, "failed", reason="its process was killed")
    opened.enqueue_current(current, space)
    parent = open_parent(config, name, run_name, tags or {}, {**facts, "dataset": dataset.rsplit("/", 1)[-1]})
    return {**study, "run_id": parent, "run_url": run_url(parent)}


@at_present
def plan_trials(config: Config, study: Json) -> list[int]:
    """Return one slot for each trial that is still to be run; none when the study has all it was asked for."""
    return list(range(_open(config, study).n_open(study["n_trials"])))


@at_present
def run_trial(config: Config, study: Json, on_epoch: OnEpoch | None = None) -> Json:
    """Ask the study for settings, train with them and tell the result; state `idle` when no trial is left to run.

    A trial whose training diverges is `failed`, and the study goes on. Any other error ends this call only: the trial
    is queued again when the study is next opened or asked.
    """
    from recsys.features import load_dataset, without_test
    from recsys.model import train
    from recsys.model.tuning import run_trial as run
    from recsys.registry.runs import run_url
    from recsys.registry.studies import end_trial_run, trial_run

    opened = _open(config, study)
    for run_id in opened.bury_killed():
        end_trial_run(config, run_id, "failed", reason="its process was killed")
    if config.tuning.timeout_s and time.time() - study["began"] > config.tuning.timeout_s:
        return {"state": "idle", "reason": f"tuning.timeout_s = {config.tuning.timeout_s:g} is over"}
    base = config.model_copy(update={"model": ModelConfig.model_validate(study["model"])})
    say = on_epoch or print_epoch
    with opened.ask(_space(study), study["n_trials"]) as asked:
        if asked is None:
            return {"state": "idle", "reason": f"the study has its {study['n_trials']} trials"}
        tags = {**study["tags"], "recsys.current_settings": str(asked.is_current)}
        with trial_run(config, study["run_id"], study["study"], asked.number, asked.settings, tags) as (run_id, log):
            asked.remember_run(run_id)

            def heard(epoch: int, record: dict[str, float]) -> None:
                say(epoch, record)
                log(epoch, record)

            run(base, without_test(load_dataset(study["features"])), asked, heard, train)
        trial = opened.trials()[asked.number]
        end_trial_run(config, run_id, trial.state, trial.value, trial.reason)
        return {"trial": trial.number, "state": trial.state, "value": trial.value, "reason": trial.reason,
                "settings": trial.settings, "run_id": run_id, "run_url": run_url(run_id)}  # fmt: skip


@at_present
def adopt_best(config: Config, study: Json) -> Json:
    """Report the study in MLflow; write its best settings onto the registered model when they beat the current ones.

    A second call for settings that are in force already changes nothing. Raises TrainingError when no trial completed
    or the current settings are not measured yet.
    """
    from recsys.model.study_plots import study_figures
    from recsys.model.tuning import METRIC, best_of, is_better
    from recsys.registry.runs import run_url
    from recsys.registry.studies import close_parent
    from recsys.registry.tuned import TunedSettings, adopt, tuned_settings, tuned_url

    opened = _open(config, study)
    trials = opened.trials()
    best = best_of(trials)
    in_force = tuned_settings(config)
    if in_force is not None and (in_force.study, in_force.trial) == (study["study"], best.number):
        adopted, tuned = True, in_force  # by an earlier call
    else:
        adopted, baseline = is_better(best, trials, study["current"])
        kept = {name: value for name, value in study["model"].items() if name not in config.model.model_fields_set}
        tuned = TunedSettings(
            study=study["study"],
            trial=best.number,
            run_id=best.run_id,
            settings={**kept, **best.settings},
            metric=METRIC,
            value=best.value or 0.0,
            baseline=baseline,
            data=study["facts"]["data"],
        )
        if adopted:
            adopt(config, tuned)
    states = [trial.state for trial in trials]
    counts = {f"n_{state}": float(states.count(state)) for state in ("complete", "pruned", "failed")}
    metrics = {"best": tuned.value, **({} if tuned.baseline is None else {"current": tuned.baseline}), **counts}
    outcome = {"adopted": adopted, **tuned.model_dump(mode="json")}
    close_parent(config, study["run_id"], metrics, outcome, trials, study_figures(opened))
    return {**outcome, "run_url": run_url(study["run_id"]), "model_url": tuned_url(config)}


def _open(config: Config, study: Json) -> Any:  # Any: Study, imported where it is needed
    from recsys.model.study import open_study as open_file

    return open_file(_folder(config), study["study"], study["facts"], config.tuning)


def _folder(config: Config) -> Path:
    if not is_local(config.storage):
        raise ConfigError(
            f"a study lies in a local file that every trial locks, and storage is {config.storage}: tune from a "
            "configuration whose storage is a folder"
        )
    return local_path(join(config.storage, "tuning")).resolve()


def _space(study: Json) -> dict[str, Domain]:
    from pydantic import TypeAdapter

    return TypeAdapter(dict[str, Domain]).validate_python(study["space"])


def _facts(model: ModelConfig, space: Mapping[str, Domain], features: str) -> dict[str, str]:
    """Say what a study's values depend on, besides what it searches."""
    kept = {name: value for name, value in model.model_dump(mode="json").items() if name not in space}
    domains = {name: domain.model_dump(mode="json") for name, domain in space.items()}
    return {
        "data": features.rstrip("/").rsplit("/", 1)[-1],
        "space": json.dumps(domains, sort_keys=True),
        "settings": json.dumps(kept, sort_keys=True),
    }


def _check_validation(features: str) -> None:
    from recsys.features import heldout, load_dataset

    if not len(heldout(load_dataset(features), 1).user_rows):
        raise DataError(
            "no user can be measured on validation days, so nothing can be tuned; load more days or widen "
            "features.validation_fraction"
        )
