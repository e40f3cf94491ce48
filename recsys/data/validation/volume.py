"""How much data there was before: what a partition's volume is compared with."""

from typing import Final

from recsys.config import Config
from recsys.storage import current, join, list_names, read_manifest

_TOO_FEW: Final = 100  # below, one busy user changes the ratio


def previous_rows(config: Config, partition: str, this_run: dict[str, int]) -> int | None:
    """Return the good events of the partition before this one, in this run or among the snapshots; None if none."""
    base = join(config.storage, "snapshots")
    earlier = {name for name in (*list_names(base), *this_run) if name < partition and name[:1].isdigit()}
    for name in sorted(earlier, reverse=True):
        if name in this_run:
            return this_run[name]
        if uri := current(join(base, name)):
            rows = read_manifest(uri).info["rows"]
            return int(rows["interactions"]) if isinstance(rows, dict) else None  # type: ignore[arg-type]
    return None


def volume_ratio(rows: int, before: int | None) -> float | None:
    """Return rows / before, or None where `before` says too little to compare with."""
    return None if before is None or before < _TOO_FEW else rows / before
