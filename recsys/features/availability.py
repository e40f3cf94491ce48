"""When an item may be recommended: from its publication on, until it expires."""

import numpy as np
from numpy.typing import NDArray


def available_at(
    published_at: NDArray[np.integer], expires_at: NDArray[np.integer], seconds: NDArray[np.integer] | int
) -> NDArray[np.bool_]:
    """Return which items may be recommended at some seconds since 1970, all broadcast against each other.

    An item whose publication is unknown (0) was always there, one without expiry (0) stays; at the second of its expiry
    an item is gone.

    >>> available_at(np.array([0, 10, 10]), np.array([0, 0, 20]), 20).tolist()
    [True, True, False]
    """
    result: NDArray[np.bool_] = (published_at <= seconds) & ((expires_at == 0) | (expires_at > seconds))
    return result
