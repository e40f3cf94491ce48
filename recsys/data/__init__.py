"""Data's one door: sources, the privacy door, validation and snapshots.

Great Expectations is slow to import, so `validate_partitions` imports it when it is called and nothing else does.
"""

from typing import Any

from pydantic import JsonValue

from recsys.config import Config
from recsys.data.arrivals import ingest_arrivals, note_published
from recsys.data.consent import agrees_to_analytics, events_for_analytics
from recsys.data.consented import read_consented, read_ids
from recsys.data.event_words import unknown_words
from recsys.data.identifiers import strangers
from recsys.data.ingest import PrivacyDoor, ingest_partition, ingest_range
from recsys.data.privacy import PseudonymKey, load_key, pseudonymise
from recsys.data.register import consent_end
from recsys.data.snapshots import DatasetRef, end_of, is_timed, read_by, read_table, read_withheld, select_snapshots
from recsys.data.sources import LogReader, Source, draft, name_of, open_source

__all__ = [
    "DatasetRef",
    "LogReader",
    "PrivacyDoor",
    "PseudonymKey",
    "Source",
    "agrees_to_analytics",
    "consent_end",
    "draft",
    "end_of",
    "events_for_analytics",
    "ingest_arrivals",
    "ingest_partition",
    "ingest_range",
    "is_timed",
    "load_key",
    "name_of",
    "note_published",
    "open_source",
    "pseudonymise",
    "read_by",
    "read_consented",
    "read_ids",
    "read_table",
    "read_withheld",
    "select_snapshots",
    "strangers",
    "unknown_words",
    "validate_partitions",
]


def validate_partitions(config: Config, partitions: list[dict[str, Any]]) -> dict[str, JsonValue]:  # Any: JSON
    """Validate staged partitions, quarantine bad rows, publish snapshots; see `recsys.data.validation`."""
    from recsys.data.validation import validate_partitions as validate

    return validate(config, partitions)
