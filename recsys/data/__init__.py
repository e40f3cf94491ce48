"""Data's one door: sources, the privacy door, validation and snapshots.

Great Expectations is slow to import, so `validate_partitions` imports it when it is called and nothing else does.
"""

from typing import Any

from pydantic import JsonValue

from recsys.config import Config
from recsys.data.consented import read_consented, read_ids
from recsys.data.identifiers import strangers
from recsys.data.ingest import PrivacyDoor, ingest_partition, ingest_range
from recsys.data.privacy import PseudonymKey, load_key, pseudonymise
from recsys.data.snapshots import DatasetRef, read_table, select_snapshots
from recsys.data.sources import Source, open_source

__all__ = [
    "DatasetRef",
    "PrivacyDoor",
    "PseudonymKey",
    "Source",
    "ingest_partition",
    "ingest_range",
    "load_key",
    "open_source",
    "pseudonymise",
    "read_consented",
    "read_ids",
    "read_table",
    "select_snapshots",
    "strangers",
    "validate_partitions",
]


def validate_partitions(config: Config, partitions: list[dict[str, Any]]) -> dict[str, JsonValue]:  # Any: JSON
    """Validate staged partitions, quarantine bad rows, publish snapshots; see `recsys.data.validation`."""
    from recsys.data.validation import validate_partitions as validate

    return validate(config, partitions)
