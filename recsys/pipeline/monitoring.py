"""Monitoring: what the champion learned from against what happened since."""

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from recsys.config import Config
from recsys.errors import DataError
from recsys.pipeline.data import moment_of, select
from recsys.schema import TIMESTAMP
from recsys.storage import exists, join, read_json, read_manifest, write_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recsys.evaluation import ServedModel
    from recsys.serving import Champion

Json = dict[str, Any]  # Any: JSON, checked by the models that read it
_NO_TIMES = (
    "the events have no times, so nobody can tell which came after the champion was trained: drift is not watched; "
    "retrain when the data is replaced"
)


def monitor(config: Config, as_of: str) -> Json:
    """Compare the days before `as_of` with the champion's last days of data, and decide on a retraining.

    Only users who agreed to analytics are looked at.
    Without a champion, without times, or without a day after its training, there is nothing to compare and nothing is
    decided.
    """
    from recsys.data import events_for_analytics, is_timed, read_table
    from recsys.features import StringColumn
    from recsys.monitoring import join_context
    from recsys.monitoring import monitor as compare
    from recsys.pipeline.evidence import judged_model
    from recsys.registry.relocation import follow_root
    from recsys.serving import read_champion

    until = moment_of(as_of)
    if until is None:
        raise DataError("monitoring needs a date: as_of = 2026-01-31")
    follow_root(config.storage)
    champion = read_champion(config.storage)
    if champion is None:
        return _nothing(config, until, "there is no champion yet")
    if not (config.timed and is_timed(champion.dataset)):
        return _nothing(config, until, _NO_TIMES)
    dataset = select(config, as_of)["dataset"]
    tables = {name: read_table(dataset, name).collect() for name in ("interactions", "users", "items")}
    learned_until = _last_event(champion.dataset)
    begin = until - timedelta(days=config.monitoring.window_days)
    if begin < learned_until:
        return _nothing(config, until, f"no {config.monitoring.window_days} whole days since the champion's data ended")
    reference, fresh = (
        join_context(events_for_analytics(part, tables["users"], config.privacy), tables["users"], tables["items"])
        for part in (
            _learned_from(config, champion, tables["interactions"], learned_until),
            _between(tables["interactions"], begin, until),
        )
    )
    served = judged_model(champion, learned_until.isoformat())
    days = _days_held_out(config, champion, learned_until)
    report = compare(
        config,
        reference,
        fresh,
        StringColumn.of(served.item_ids),
        served.towers.item_vectors,
        last_trained=learned_until.date(),
        as_of=until.date(),
        ndcg_reference=_quality_before(config, tables, champion, learned_until, days),
        ndcg_fresh=_quality(config, tables, served, learned_until, until - timedelta(days=days), until),
    )
    address = join(config.storage, "monitoring", f"{until.date().isoformat()}.json")
    write_json(address, report.to_json())
    decision = report.decision
    return {"retrain": decision.retrain, "reasons": decision.reasons, "report": address, "as_of": as_of}


def _learned_from(config: Config, champion: "Champion", events: pl.DataFrame, learned_until: datetime) -> pl.DataFrame:
    """Return the days the champion learned from, of which monitoring looks at no more than twice `reference_days`."""
    days = 2 * config.monitoring.reference_days
    fit_days = read_manifest(champion.recipe_features).info.get("fit_days", 0)
    if isinstance(fit_days, int) and fit_days:
        days = min(days, fit_days)
    return _between(events, learned_until - timedelta(days=days), learned_until)


def _days_held_out(config: Config, champion: "Champion", learned_until: datetime) -> int:
    """Return of how many days the champion's quality is compared: those held out from it, no more than a window."""
    from recsys.features import load_spec

    test_start = moment_of(load_spec(champion.recipe_features).test_start) or learned_until
    return min(max((learned_until - test_start).days, 1), config.monitoring.window_days)


def _quality_before(
    config: Config, tables: dict[str, pl.DataFrame], champion: "Champion", learned_until: datetime, days: int
) -> "NDArray[np.float64] | None":
    """Return per-user nDCG on the champion's last days, measured once for a champion and kept, without ids.

    What serves has learned from those days; the towers it was judged by, which have not, stand for it.
    """
    from recsys.pipeline.evidence import judged_model

    address = join(config.storage, "monitoring", "before", f"{champion.digest}-{days}.json")
    if not exists(address):
        begin = learned_until - timedelta(days=days)
        values = _quality(config, tables, judged_model(champion, begin.isoformat()), begin, begin, learned_until)
        write_json(address, {"ndcg": [] if values is None else values[~np.isnan(values)].tolist()})
    return np.array(read_json(address)["ndcg"], np.float64)


def _quality(
    config: Config,
    tables: dict[str, pl.DataFrame],
    model: "ServedModel",
    learned: datetime,
    begin: datetime,
    end: datetime,
) -> "NDArray[np.float64] | None":
    """Return per-user nDCG of a model on `[begin, end)`, None when nobody can be measured there.

    Histories end where `[begin, end)` begins; the days from `learned` on are none that the model was fitted on.
    """
    from recsys.evaluation import evaluate_champion
    from recsys.features import frames_to_dataset
    from recsys.monitoring import count_positive

    if not count_positive(config, _between(tables["interactions"], learned, begin)):
        learned = begin  # no day between: a split that holds nothing is refused
    try:
        arrays = frames_to_dataset(
            config.features,
            tables["interactions"].filter(pl.col(TIMESTAMP) < end),
            tables["users"],
            tables["items"],
            cutoffs=(learned, begin),
        )
        return evaluate_champion(config, arrays, model).per_user
    except DataError:
        return None


def _last_event(dataset: str) -> datetime:
    from recsys.data import read_table

    last = read_table(dataset, "interactions").select(pl.col(TIMESTAMP).max()).collect().item()
    if not isinstance(last, datetime):
        raise DataError(f"the champion's training set {dataset} holds no event; train again")
    return datetime.combine(last.date() + timedelta(days=1), datetime.min.time(), UTC)


def _between(events: pl.DataFrame, begin: datetime, end: datetime) -> pl.DataFrame:
    return events.filter((pl.col(TIMESTAMP) >= begin) & (pl.col(TIMESTAMP) < end))


def _nothing(config: Config, until: datetime, why: str) -> Json:
    address = join(config.storage, "monitoring", f"{until.date().isoformat()}.json")
    day: date = until.date()
    write_json(address, {"as_of": day.isoformat(), "decision": {"retrain": False, "reasons": [why]}})
    return {"retrain": False, "reasons": [why], "report": address, "as_of": until.isoformat()}
