"""Monitoring: what the champion learned from against what happened since."""

from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from recsys.config import Config
from recsys.errors import DataError, RecsysError
from recsys.pipeline.data import moment_of, select
from recsys.schema import TIMESTAMP
from recsys.storage import join, write_json

Json = dict[str, Any]  # Any: JSON, checked by the models that read it
_NO_TIMES = (
    "the events have no times, so nobody can tell which came after the champion was trained: drift is not watched; "
    "retrain when the data is replaced"
)


def monitor(config: Config, as_of: str) -> Json:
    """Compare the days before `as_of` with the champion's last days of data, and decide on a retraining.

    Quality, of the hybrid where one serves, is measured on fresh events as on the champion's last days: histories end
    where the window begins. Only users who agreed to analytics are looked at.
    Without a champion, without times, or without a day after its training, there is nothing to compare and nothing is
    decided.
    """
    from recsys.data import events_for_analytics, is_timed, read_table
    from recsys.monitoring import join_context
    from recsys.monitoring import monitor as compare
    from recsys.registry import load_bundle
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
    window = timedelta(days=config.monitoring.window_days)
    begin = until - window
    if begin < learned_until:
        return _nothing(config, until, f"no {config.monitoring.window_days} whole days since the champion's data ended")
    events = events_for_analytics(tables["interactions"], tables["users"], config.privacy)
    fresh, reference = _between(events, begin, until), _between(events, learned_until - window, learned_until)
    bundle = load_bundle(champion.bundle)
    report = compare(
        config,
        join_context(reference, tables["users"], tables["items"]),
        join_context(fresh, tables["users"], tables["items"]),
        bundle.dataset.items.ids,
        bundle.towers.item_vectors,
        last_trained=learned_until.date(),
        as_of=until.date(),
        ndcg_reference=_quality(config, tables, bundle, learned_until - window, learned_until - window, learned_until),
        ndcg_fresh=_quality(config, tables, bundle, learned_until, begin, until),
    )
    address = join(config.storage, "monitoring", f"{until.date().isoformat()}.json")
    write_json(address, report.to_json())
    decision = report.decision
    return {"retrain": decision.retrain, "reasons": decision.reasons, "report": address, "as_of": as_of}


def _quality(
    config: Config, tables: dict[str, pl.DataFrame], bundle: Any, learned: datetime, begin: datetime, end: datetime
) -> Any:
    """Return per-user nDCG of a bundle on `[begin, end)`, None when nobody can be measured there.

    A hybrid's components know the events before `learned` alone, as those that serve do not learn on.
    """
    from recsys.evaluation import ServedModel, evaluate_champion
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
        spec, text_model, items = bundle.dataset.spec, bundle.dataset.text_model, bundle.dataset.items
        served = ServedModel(spec, text_model, items.ids.tolist(), bundle.towers, bundle.blend)
        return evaluate_champion(config, arrays, served).per_user
    except RecsysError:
        return None


def _last_event(dataset: str) -> datetime:
    from recsys.data import read_table

    last = read_table(dataset, "interactions").select(pl.col(TIMESTAMP).max()).collect().item()
    if not isinstance(last, datetime):
        raise DataError(f"the champion's training set {dataset} holds no event; train again")
    return datetime.combine(last.date() + timedelta(days=1), datetime.min.time(), last.tzinfo)


def _between(events: pl.DataFrame, begin: datetime, end: datetime) -> pl.DataFrame:
    return events.filter((pl.col(TIMESTAMP) >= begin) & (pl.col(TIMESTAMP) < end))


def _nothing(config: Config, until: datetime, why: str) -> Json:
    address = join(config.storage, "monitoring", f"{until.date().isoformat()}.json")
    day: date = until.date()
    write_json(address, {"as_of": day.isoformat(), "decision": {"retrain": False, "reasons": [why]}})
    return {"retrain": False, "reasons": [why], "report": address, "as_of": until.isoformat()}
