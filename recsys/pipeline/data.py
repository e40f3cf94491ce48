"""The data stages: read and pseudonymise, validate, choose a training set, build features."""

from datetime import UTC, datetime
from typing import Any

from recsys.config import Config
from recsys.errors import ConfigError

Json = dict[str, Any]  # Any: JSON, checked by the models that read it


def ingest(config: Config, start: str | None = None, end: str | None = None) -> Json:
    """Read `[start, end)` from the source through the privacy door into staged partitions.

    `None` stands for the source's own first or last day. Returns `{"partitions": [...]}` with the staged address and
    the counts of what was kept and withheld, one entry per partition; none when `[start, end)` lies outside the source.
    A source without times is read whole, whatever `start` and `end` say.
    """
    from recsys.data import ingest_range, open_source

    source = open_source(config)
    first, last = source.interval()
    if not config.timed:
        start = end = None
    begin, finish = moment_of(start) or first, moment_of(end) or last
    outside = begin < finish and (begin >= last or finish <= first)
    return {"partitions": [] if outside else ingest_range(config, source, begin, finish)}


def validate(config: Config, partitions: list[Json]) -> Json:
    """Validate staged partitions, quarantine bad rows and publish the snapshots.

    Raises ValidationFailedError when failures pass the threshold: then no snapshot of that partition changes.
    """
    from recsys.data import validate_partitions

    return validate_partitions(config, partitions)


def select(config: Config, as_of: str | None = None) -> Json:
    """Name the snapshots a training run reads: those of days before `as_of`, or all."""
    from recsys.data import select_snapshots

    reference = select_snapshots(config, moment_of(as_of))
    return {"dataset": reference.uri, "digest": reference.digest, "snapshots": len(reference.snapshots)}


def build_features(config: Config, dataset: str) -> Json:
    """Turn snapshots into training arrays; a second call with the same input returns the first one's result."""
    from recsys.features import build_features as build
    from recsys.features import load_dataset

    uri = build(config, dataset)
    arrays = load_dataset(uri)
    return {
        "features": uri,
        "n_users": len(arrays.users.ids),
        "n_items": len(arrays.items.ids),
        "n_events": len(arrays.events.item),
        "n_capped_users": arrays.spec.info.get("n_capped_users", 0),
        "capped_share": arrays.spec.info.get("capped_share", 0.0),
        "time": "known" if arrays.spec.timed else "unknown",
    }


def moment_of(text: str | None) -> datetime | None:
    """Read an ISO 8601 date or time, in UTC unless it says otherwise; None for none."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"a date must be ISO 8601 such as 2026-01-31; got {text!r}") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
