"""### Watch for drift and decide whether to retrain

Compares the days before the run with what the champion was trained on: features and events (PSI, KS, Jensen-Shannon),
embedding shift, and the fall of nDCG on fresh events. Updates the asset `recsys_retrain`, which starts
`recsys_training`, only when enough signals pass their limits and the cooldown is over.

**When it runs.** Every day at 02:00 UTC, after the day's load.

**By hand.** *Trigger* with `as_of` to judge the days before it; without, the logical date counts.

**Reading it.** `request_retraining` is green when retraining was asked for and pink (skipped) when not; the log of
`monitor` holds every signal, its value and its limit.
"""

from typing import Any

from airflow.sdk import Param, dag, task
from airflow.sdk.exceptions import AirflowSkipException

from recsys.errors import ConfigError
from recsys_airflow.assets import CHAMPION, RETRAIN, SNAPSHOT
from recsys_airflow.retries import DEFAULT_ARGS
from recsys_airflow.runs import as_of, schedule, settings


@dag(
    schedule=schedule("0 2 * * *"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    doc_md=__doc__,
    tags=["recsys"],
    params={
        "as_of": Param(
            None, type=["null", "string"], format="date", description="Judge the days before this one (UTC)."
        ),
    },
)
def recsys_monitoring() -> None:
    @task(inlets=[SNAPSHOT, CHAMPION])
    def monitor() -> dict[str, Any]:
        """Measure drift and decide."""
        from recsys import pipeline

        day = as_of()
        if day is None:
            raise ConfigError("this run has no date: trigger it with a logical date, or set `as_of`")
        return {"as_of": day, **pipeline.monitor(settings(), day)}

    @task(outlets=[RETRAIN])
    def request_retraining(monitored: dict[str, Any], *, outlet_events: Any = None) -> list[str]:
        """Update the retrain asset, or skip when the decision says no."""
        reasons = list(monitored["reasons"])
        if not monitored["retrain"]:
            raise AirflowSkipException(f"no retraining: {'; '.join(reasons) or 'nothing drifted'}")
        outlet_events[RETRAIN].extra = {"as_of": monitored["as_of"], "reasons": reasons}
        return reasons

    request_retraining(monitor())


recsys_monitoring()
