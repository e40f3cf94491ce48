"""### Load interactions, users and items

Reads the run's days from the source through the privacy door (consent, pseudonyms, retention), validates them with
Great Expectations and publishes immutable snapshots. Updates the asset `recsys_snapshot`.

**When it runs.** Every midnight (UTC), for the day that ended. It never catches up by itself: use a backfill for
missed days. Rerunning a day replaces that day only; the same input gives the same bytes.

**By hand.** *Trigger* with `start` and `end` to load a range at once; without them, the last whole day before the
logical date is loaded, and everything when the run has no logical date. A source with a single partition (MovieLens,
one file) is always read whole.

**When it fails.** `ValidationFailedError`: too many bad rows; the log names table, expectation, observed and allowed
value. Open *Data docs* on the *Details* tab of the task `validate`, fix the source or its mapping, and clear `ingest`
with *Downstream*: `validate` alone does not read the source, only what is staged. No snapshot changes before that.
Wrong data and wrong settings fail at once; everything else is tried three times.

**Clearing older runs.** `validate` takes what was staged last for a day, by whatever run, so clearing an older run's
`validate` never undoes a later correction. A damaged snapshot is repaired by clearing `ingest` of its day with
*Downstream*.
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task
from airflow.sdk.exceptions import AirflowSkipException

from recsys_airflow.assets import SNAPSHOT
from recsys_airflow.links import DataDocsLink, linked
from recsys_airflow.retries import DEFAULT_ARGS
from recsys_airflow.runs import schedule, settings, window


@dag(
    schedule=schedule("@daily", interval=timedelta(days=1)),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    doc_md=__doc__,
    tags=["recsys"],
    params={
        "start": Param(None, type=["null", "string"], format="date", description="First day to load (UTC)."),
        "end": Param(None, type=["null", "string"], format="date", description="Day after the last one to load (UTC)."),
    },
)
def recsys_data() -> None:
    @task
    def ingest() -> dict[str, Any]:
        """Read the days, withhold what has no consent, pseudonymise, stage."""
        from recsys import pipeline

        config = settings()
        staged = pipeline.ingest(config, *window(config))
        if not staged["partitions"]:
            raise AirflowSkipException("the source holds nothing in these days")
        return staged

    @task(outlets=[SNAPSHOT])
    def validate(staged: dict[str, Any], *, outlet_events: Any = None) -> dict[str, Any]:
        """Check expectations, quarantine bad rows, publish snapshots."""
        from recsys import pipeline

        outlet_events[SNAPSHOT].extra = {"end": max(part["end"] for part in staged["partitions"])}
        return pipeline.validate(settings(), staged["partitions"])

    linked(validate(ingest()), DataDocsLink())


recsys_data()
