"""Kinds of events as a tower knows them: one trained before a kind existed has no row for it."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from recsys.schema import EVENT_KINDS

METADATA_KEY: Final = "event_kinds"  # a query tower names its kinds there, comma-separated, in the order of its rows
_UNNAMED: Final = EVENT_KINDS[:8]  # what towers know that were exported before they named their kinds
_NEAREST: Final = {"add_to_cart": "save", "purchase": "like"}
_PLAINEST: Final = "click"  # what any other deed says at least


def kind_rows(names: str | None) -> NDArray[np.int32]:
    """Return int32[1 + kinds of the contract]: the row in which a tower that names these kinds reads each code.

    A kind the tower does not know is read as the nearest it knows, never as padding: the event did happen.
    """
    known: list[str] = names.split(",") if names else list(_UNNAMED)
    rows = [0]
    for kind in EVENT_KINDS:
        read = next((each for each in (kind, _NEAREST.get(kind, kind), _PLAINEST) if each in known), known[0])
        rows.append(known.index(read) + 1)
    return np.array(rows, np.int32)
