"""### Search better model settings

Tries settings of `[model]` on the training set's validation days: the current ones first, then what Optuna proposes
from `[tuning.space]`. When the best ones beat the current ones, they are written onto the registered model in MLflow,
and the next `recsys_training` uses them. The test days are never read.

**When it runs.** Only by hand: it costs as much as `n_trials` trainings.

**By hand.** *Trigger* with `n_trials` for the number of trials, `as_of` to search on the days before it, and
`overrides` for other settings, for example `{"tuning": {"space": {"dropout": {"kind": "float", "low": 0.1, "high":
0.5}}}}`. A setting written in `[model]` or in `overrides` is kept and not searched. `tuning.parallel` trials run at
once.

**Reading it.** *MLflow run* on `open_study` and `adopt_best` leads to the study's run: its trials are nested below it,
its plots show history, importances and parallel coordinates. A pruned trial's run is *killed*, a diverged one's
*failed*; neither fails the study.

**When it fails.** Clear the failed tasks, or trigger again: the same data and space continue the same study. Finished
trials are never repeated; a killed one is marked failed and its settings are tried again. `ConfigError`: the study
`tuning.study` was begun with other data or another space. `TrainingError` in `adopt_best`: no trial completed, the log
says why.
"""

from typing import Any

from airflow.sdk import Param, dag, get_current_context, task

from recsys_airflow.links import MlflowRunLink, linked
from recsys_airflow.retries import DEFAULT_ARGS
from recsys_airflow.runs import parallel_trials, settings, tags
from recsys_airflow.tasks import build_features, select


@dag(
    schedule=None,
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    doc_md=__doc__,
    tags=["recsys"],
    params={
        "n_trials": Param(
            None, type=["null", "integer"], minimum=1, maximum=1000, description="Trials of the study; else as set."
        ),
        "as_of": Param(
            None, type=["null", "string"], format="date", description="Search on the days before this one (UTC)."
        ),
        "overrides": Param(
            {}, type="object", description="Settings to change for this run, by section, as in the configuration file."
        ),
    },
)
def recsys_tuning() -> None:
    @task
    def open_study(selected: dict[str, Any], built: dict[str, Any]) -> dict[str, Any]:
        """Open the study and its MLflow run; queue the current settings."""
        from recsys import pipeline

        run_name = get_current_context()["run_id"]
        return pipeline.open_study(settings(), built["features"], selected["dataset"], run_name, tags())

    @task
    def plan(study: dict[str, Any]) -> list[int]:
        """Return a slot for each trial that is still to be run."""
        from recsys import pipeline

        return pipeline.plan_trials(settings(), study)

    @task(max_active_tis_per_dagrun=parallel_trials())
    def trial(slot: int, study: dict[str, Any]) -> dict[str, Any]:
        """Ask the study for settings, train, tell the validation value."""
        from recsys import pipeline

        return {"slot": slot, **pipeline.run_trial(settings(), study)}

    @task(trigger_rule="none_failed")
    def adopt_best(study: dict[str, Any]) -> dict[str, Any]:
        """Report the study; register the best settings when they beat the current ones."""
        from recsys import pipeline

        return pipeline.adopt_best(settings(), study)

    selected = select()
    study = linked(open_study(selected, build_features(selected)), MlflowRunLink())
    trials = linked(trial.partial(study=study).expand(slot=plan(study)), MlflowRunLink())
    trials >> linked(adopt_best(study), MlflowRunLink())


recsys_tuning()
