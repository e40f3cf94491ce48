"""Which items follow which in what users do, one after the other."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array


def followers(users: NDArray[np.integer], items: NDArray[np.integer], n_items: int, reach: int) -> csr_array:
    """Return float32[n_items, n_items]: how often the column's item followed the row's, a pair k events apart as 1 / k.

    `users` and `items` [n] are events, each user's together and in order; events up to `reach` apart are pairs.
    """
    total = csr_array((n_items, n_items), dtype=np.float32)
    for step in range(1, min(reach, len(items) - 1) + 1):
        same = users[:-step] == users[step:]
        pairs = (items[:-step][same], items[step:][same])
        total = total + csr_array((np.full(same.sum(), 1.0 / step, np.float32), pairs), shape=(n_items, n_items))
    return csr_array(total)
