"""### Train, evaluate and promote a model

Selects snapshots, builds features, trains the two towers and evaluates them against the baselines on held-out days;
trains them again on all days, for these will serve; exports the Annoy index, registers the bundle in MLflow and moves
the alias `champion` only when every gate holds.

**When it runs.** When `recsys_monitoring` updates the asset `recsys_retrain`, and every Monday at 03:00 UTC.

**By hand.** *Trigger* with `as_of` to train on the days before it, and with `overrides` to try other settings, for
example `{"model": {"dim": 32, "epochs": 4}}`: runs compare side by side in MLflow.

**Reading it.** `promote` is pink (skipped) when the challenger is not shown to be better than the champion: its log
names the gates that leave it undecided, and the old champion serves on.

**When it fails.** `promote` fails with `GateError` when a gate refuses; the log names gate, value and limit, and the
old champion serves on: look at the run in MLflow (the link on the *Details* tab), do not clear the task. MLflow down:
`train` and `register` are tried three times, and nothing is half-registered; clear the task once it is back. With
`promotion.require_approval`, a person answers the task `approve` under *Required Actions*.
"""

from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import AssetOrTimeSchedule, Param, chain, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from recsys_airflow.assets import CHAMPION, RETRAIN
from recsys_airflow.links import MlflowRunLink, ModelVersionLink, linked
from recsys_airflow.retries import DEFAULT_ARGS
from recsys_airflow.runs import approval_required, schedule, settings, tags
from recsys_airflow.tasks import build_features, select


@dag(
    schedule=AssetOrTimeSchedule(assets=[RETRAIN], timetable=schedule("0 3 * * 1")),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    doc_md=__doc__,
    tags=["recsys"],
    params={
        "as_of": Param(
            None, type=["null", "string"], format="date", description="Train on the days before this one (UTC)."
        ),
        "overrides": Param(
            {}, type="object", description="Settings to change for this run, by section, as in the configuration file."
        ),
    },
)
def recsys_training() -> None:
    @task
    def fill_users(selected: dict[str, Any]) -> dict[str, Any]:
        """Bring the users' states up to what was selected, under the deployment's settings, whatever this run tries."""
        from recsys import pipeline
        from recsys.config import load_config

        return pipeline.fill_users(load_config(), selected["dataset"])

    @task
    def train(selected: dict[str, Any], built: dict[str, Any]) -> dict[str, Any]:
        """Train the towers; parameters, curves and the dataset go to MLflow."""
        from recsys import pipeline

        run_name = get_current_context()["run_id"]
        return pipeline.train(settings(), built["features"], selected["dataset"], run_name, tags())

    @task
    def evaluate(trained: dict[str, Any]) -> dict[str, Any]:
        """Compare with baselines and champion on the test rows."""
        from recsys import pipeline

        return pipeline.evaluate(settings(), trained)

    @task
    def refit(trained: dict[str, Any]) -> dict[str, Any]:
        """Train on all days, as long as validation chose: these towers will serve."""
        from recsys import pipeline

        return pipeline.refit(settings(), trained)

    @task
    def export_index(refitted: dict[str, Any]) -> dict[str, Any]:
        """Build the Annoy index and choose its search_k by the recall gate."""
        from recsys import pipeline

        return pipeline.export_index(settings(), refitted)

    @task
    def register(
        trained: dict[str, Any], evaluated: dict[str, Any], refitted: dict[str, Any], index: dict[str, Any]
    ) -> dict[str, Any]:
        """Write the bundle and register it as challenger."""
        from recsys import pipeline

        return pipeline.register(settings(), trained, evaluated, refitted, index)

    @task(outlets=[CHAMPION])
    def promote(registered: dict[str, Any]) -> dict[str, Any]:
        """Move the alias `champion` when every gate holds; skipped where the gates leave it undecided."""
        from recsys import pipeline

        decided = pipeline.promote(settings(), registered)
        if not decided["promoted"]:
            raise AirflowSkipException(decided["reason"])
        return decided

    selected = select()
    trained = linked(train(selected, build_features(selected)), MlflowRunLink())
    evaluated = linked(evaluate(trained), MlflowRunLink())
    refitted = refit(trained)
    registered = linked(register(trained, evaluated, refitted, export_index(refitted)), ModelVersionLink())
    promoted = linked(promote(registered), ModelVersionLink())
    chain(fill_users(selected), promoted)
    if approval_required():
        approve = ApprovalOperator(
            task_id="approve",
            subject="Promote version {{ ti.xcom_pull(task_ids='register')['version'] }} to champion?",
            body="{{ ti.xcom_pull(task_ids='register')['model_url'] }}",
        )
        chain(registered, approve, promoted)


recsys_training()
