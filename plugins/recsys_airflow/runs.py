"""How a DAG run becomes a pipeline call: its settings, its days, its address.

Dates come from the run's params, its triggering asset or its data interval; none comes from the clock.
"""

import os
import tomllib
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import CronTriggerTimetable, conf, get_current_context

from recsys.errors import ConfigError

if TYPE_CHECKING:
    from recsys.config import Config


_OVERRIDABLE = ("model", "features", "blend", "tuning")
_ALARMED = {"held_out_days": 1, "fit_days": "auto"}  # what set the alarm off is of the last days


def schedule(cron: str, interval: timedelta = timedelta(0)) -> CronTriggerTimetable:
    """Return a timetable whose first run is the next tick after unpausing; its data interval ends at the tick."""
    return CronTriggerTimetable(cron, timezone="UTC", interval=interval, run_immediately=timedelta(0))


def settings() -> "Config":
    """Return the deployment's configuration with the run's `overrides` and `n_trials` merged in.

    What neither sets stays unset, so that settings adopted by a study are told from written ones. A run that an alarm
    set off holds out the last two days alone, and lets validation say how far back to learn. Raises ConfigError when
    `overrides` reach a section that says how models are judged or whose data is read.
    """
    from recsys.config import Config, load_config

    config = load_config()
    params = get_current_context()["params"]
    overrides = params.get("overrides") or {}
    if fixed := sorted(set(overrides) - set(_OVERRIDABLE)):
        raise ConfigError(
            f"a run may override {', '.join(_OVERRIDABLE)}; got {', '.join(fixed)}: change the configuration file"
        )
    if _alarm():
        overrides = _merged({"features": _ALARMED}, overrides)
    if n_trials := params.get("n_trials"):
        overrides = _merged(dict(overrides), {"tuning": {"n_trials": n_trials}})
    if not overrides:
        return config
    try:
        return Config.model_validate(_merged(config.model_dump(mode="json", exclude_unset=True), overrides))
    except ValueError as error:
        raise ConfigError(f"the param `overrides` is not valid: {error}") from error


def window(config: "Config") -> tuple[str | None, str | None]:
    """Return the days `[start, end)` to load: the run's params, else the whole days of its data interval.

    A run without a data interval (triggered through the API without a logical date), and any run of a source with a
    single partition, reads everything the source has. Of an event log a scheduled run reads all days before the
    interval's end for which rows arrived, as some come late.
    """
    context = get_current_context()
    params = context["params"]
    if params.get("start") or params.get("end"):
        return params.get("start"), params.get("end")
    start, end = context.get("data_interval_start"), context.get("data_interval_end")
    if config.partition == "all" or start is None or end is None:
        return None, None
    return None if config.source.kind == "log" else _day(start), _day(end)


def as_of() -> str | None:
    """Return the day before which data counts: the param `as_of`, the triggering event's day, the interval's end."""
    context = get_current_context()
    if chosen := context["params"].get("as_of"):
        return str(chosen)
    if day := _alarm().get("as_of"):
        return str(day)
    end = context.get("data_interval_end")
    return _day(end) if end is not None else None


def _alarm() -> dict[str, Any]:  # Any: JSON, as `recsys_monitoring` wrote it
    """Return what the newest triggering asset event says; nothing when the run was not set off by one."""
    events = [
        event for events in (get_current_context().get("triggering_asset_events") or {}).values() for event in events
    ]
    told = [dict(event.extra) for event in events if event.extra.get("as_of")]
    return max(told, key=lambda each: str(each["as_of"]), default={})


def tags() -> dict[str, str]:
    """Return what an MLflow run says about the DAG run that made it."""
    context = get_current_context()
    run = context["dag_run"]
    base = conf.get("api", "base_url", fallback="").rstrip("/")
    return {
        "airflow.dag_id": run.dag_id,
        "airflow.run_id": run.run_id,
        "airflow.url": f"{base}/dags/{run.dag_id}/runs/{run.run_id}",
    }


def approval_required() -> bool:
    """Tell at parse time, from the TOML file alone, whether a person must approve a promotion."""
    return bool(_section("promotion").get("require_approval", False))


def parallel_trials() -> int:
    """Tell at parse time, from the TOML file alone, how many trials of a study may run at once."""
    return int(_section("tuning").get("parallel", 2))


def _section(name: str) -> dict[str, Any]:  # Any: TOML
    path = os.environ.get("RECSYS_CONFIG")
    return dict(tomllib.loads(Path(path).read_text(encoding="utf-8")).get(name, {})) if path else {}


def _day(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d")


def _merged(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:  # Any: JSON, validated by Config
    merged = dict(base)
    for key, value in changes.items():
        inner = merged.get(key)
        merged[key] = _merged(inner, value) if isinstance(inner, dict) and isinstance(value, Mapping) else value
    return merged
