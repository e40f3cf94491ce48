"""### Carry out orders of erasure

Erases everybody for whom the service, or a person, made an order: from users' states, event log, stored tables,
training sets, models, bundles and MLflow's copies of them, so that what serves goes on without them. Each order ends in
a certificate below `erasure/certificates/`. See `docs/privacy-erasure.md`.

**When it runs.** Every day at 04:00 UTC. Without an open order nothing happens.

**By hand.** *Trigger* with `as_of` for the moment the certificates name; without, the logical date counts. Run it while
nothing trains: what an unfinished training has made of older tables goes, and that training starts anew.

**When it fails.** `erase` stops where another process reads or writes what is to go; orders stay open, and the next run
goes on where it stopped: clear it. `check_deadline` runs whatever became of `erase` and fails when an order is older
than `privacy.erasure_days`: the law's term is near, so do not wait for the next day.
"""

from typing import Any

from airflow.sdk import Param, dag, task

from recsys.errors import ConfigError
from recsys_airflow.assets import SNAPSHOT
from recsys_airflow.retries import DEFAULT_ARGS
from recsys_airflow.runs import as_of, schedule, settings


@dag(
    schedule=schedule("0 4 * * *"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    doc_md=__doc__,
    tags=["recsys"],
    params={
        "as_of": Param(
            None, type=["null", "string"], format="date", description="The moment that certificates name (UTC)."
        ),
    },
)
def recsys_privacy() -> None:
    @task(inlets=[SNAPSHOT])
    def erase() -> dict[str, Any]:
        """Carry out all open orders; returns receipts alone."""
        from recsys import pipeline

        return pipeline.erase(settings(), _day(), say=print)

    @task(trigger_rule="all_done")
    def check_deadline() -> dict[str, Any]:
        """Fail where an order has been open for too long."""
        from recsys import pipeline

        return pipeline.check_erasures(settings(), _day())

    erase() >> check_deadline()


def _day() -> str:
    if (day := as_of()) is None:
        raise ConfigError("this run has no date: trigger it with a logical date, or set `as_of`")
    return day


recsys_privacy()
