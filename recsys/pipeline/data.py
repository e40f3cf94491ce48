"""The data stages: read and pseudonymise, validate, choose a training set, build features."""

from datetime import UTC, datetime
from typing import Any

from recsys.config import Config
from recsys.errors import ConfigError
from recsys.pipeline.addresses import at_present
from recsys.storage import join

Json = dict[str, Any]  # Any: JSON, checked by the models that read it


def ingest(config: Config, start: str | None = None, end: str | None = None) -> Json:
    """Read `[start, end)` from the source through the privacy door into staged partitions.

    `None` stands for the source's own first or last day. Returns `{"partitions": [...]}` with the staged address and
    the counts of what was kept and withheld, one entry per partition; none when `[start, end)` lies outside the source.
    A source without times is read whole, whatever `start` and `end` say. Of an event log, without `start`, the days
    before `end` are read for which rows arrived since the last ones were published, so late events come with their day.
    """
    from recsys.data import LogReader, ingest_arrivals, ingest_range, open_source

    source = open_source(config, scans=join(config.storage, "scans"))
    if isinstance(source, LogReader) and start is None:
        return {"partitions": ingest_arrivals(config, source, moment_of(end))}
    first, last = source.interval()
    if not config.timed:
        start = end = None
    begin, finish = moment_of(start) or first, moment_of(end) or last
    outside = begin < finish and (begin >= last or finish <= first)
    return {"partitions": [] if outside else ingest_range(config, source, begin, finish)}


def validate(config: Config, partitions: list[Json]) -> Json:
    """Validate staged partitions, quarantine bad rows and publish the snapshots.

    Raises ValidationFailedError when failures pass the threshold: then no snapshot of that partition changes. Once all
    are published, it is noted up to where an event log was read.
    """
    from recsys.data import note_published, validate_partitions

    published = validate_partitions(config, partitions)
    note_published(config, partitions)
    return published


def select(config: Config, as_of: str | None = None) -> Json:
    """Name the snapshots a training run reads: those of days before `as_of`, or all."""
    from recsys.data import select_snapshots

    reference = select_snapshots(config, moment_of(as_of))
    return {"dataset": reference.uri, "digest": reference.digest, "snapshots": len(reference.snapshots)}


@at_present
def build_features(config: Config, dataset: str) -> Json:
    """Turn snapshots into training arrays; a second call with the same input returns the first one's result.

    Where `features.fit_days` is "auto", as when an alarm set the run off, validation chooses how far back to learn; so
    it does where the setting is not written and the champion learned from a window, as since a shift.
    """
    from recsys.features import build_features as build
    from recsys.features import load_dataset

    told: Json = {}
    if config.features.fit_days == "auto" or _goes_on_from_a_window(config):
        from recsys.pipeline.window import choose_fit_days

        everything = load_dataset(build(_fitted_on(config, 0), dataset))
        days, values = choose_fit_days(config, everything)
        config, told = _fitted_on(config, days), {"fit_days": days, "ndcg_by_fit_days": values}
    uri = build(config, dataset)
    arrays = load_dataset(uri)
    return {
        "features": uri,
        "n_users": len(arrays.users.ids),
        "n_items": len(arrays.items.ids),
        "n_events": len(arrays.events.item),
        **told,
        "n_capped_users": arrays.spec.info.get("n_capped_users", 0),
        "capped_share": arrays.spec.info.get("capped_share", 0.0),
        "time": "known" if arrays.spec.timed else "unknown",
    }


def _goes_on_from_a_window(config: Config) -> bool:
    from recsys.serving import read_champion
    from recsys.storage import read_manifest

    champion = None if "fit_days" in config.features.model_fields_set else read_champion(config.storage)
    return bool(champion and read_manifest(champion.recipe_features).info.get("fit_days"))


def _fitted_on(config: Config, days: int) -> Config:
    return config.model_copy(update={"features": config.features.model_copy(update={"fit_days": days})})


def moment_of(text: str | None) -> datetime | None:
    """Read an ISO 8601 date or time, in UTC unless it says otherwise; None for none."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"a date must be ISO 8601 such as 2026-01-31; got {text!r}") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
