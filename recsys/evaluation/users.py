"""Whom an evaluation measures, and the slices of users and items it reports apart."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.config import Config
from recsys.data import agrees_to_analytics
from recsys.errors import DataError
from recsys.evaluation.lists import popularity_percentiles
from recsys.evaluation.metrics import Bools, Ints
from recsys.features import Dataset, Heldout, Requested, requested

HeldoutT = TypeVar("HeldoutT", bound=Heldout)
N_DECILES = 10
COLD_USERS, WARM_USERS = "cold_users", "warm_users"
COLD_ITEMS, WARM_ITEMS = "cold_items", "warm_items"


def measured_users(config: Config, dataset: Dataset, split: int = 2) -> Requested:
    """Return the held-out users of a split as requests: at most `evaluation.max_users`, drawn by seed, in row order.

    Users who did not agree to analytics are not measured. Items the user met before are not relevant, nor are those
    that could not be listed yet or any more. Raises DataError when nobody may be measured or has a relevant item.
    """
    users = requested(dataset, split)
    if not users.relevant.nnz:
        raise DataError(
            f"split {split} must hold a user with a new positive item; got none: read more days or widen the split"
        )
    users = with_analytics(config, dataset, users)
    n_users, limit = users.user_rows.size, config.evaluation.max_users
    if n_users <= limit:
        return users
    return users.take(np.sort(np.random.default_rng(config.evaluation.seed).choice(n_users, limit, replace=False)))


def with_analytics(config: Config, dataset: Dataset, users: HeldoutT) -> HeldoutT:
    """Return the held-out users who agreed to analytics; raise DataError when none of several did."""
    agrees = agrees_to_analytics(dataset.users_frame, config.privacy).to_numpy()[users.user_rows]
    if users.user_rows.size and not agrees.any():
        raise DataError(
            f"none of {users.user_rows.size} held-out users may be measured: consent_analytics is refused or missing; "
            'record it in users, or set privacy.consent_missing = "allow" where it is known otherwise'
        )
    return users if agrees.all() else users.take(np.flatnonzero(agrees))


def hits_of(items: NDArray[np.int32], relevant: csr_matrix) -> Bools:
    """Return bool[n_users, k]: which recommended items are relevant; the padding -1 never is."""
    n_items = max(relevant.shape[1], 1)
    rows = np.repeat(np.arange(relevant.shape[0], dtype=np.int64), np.diff(relevant.indptr))
    keys = rows * n_items + relevant.indices
    asked = np.arange(items.shape[0], dtype=np.int64)[:, None] * n_items + items
    result: Bools = np.isin(asked, keys) & (items >= 0)
    return result


def user_slices(dataset: Dataset, users: Heldout) -> dict[str, Bools]:
    """Return bool[n_users] by name: cold and warm users, and each demographic group as `column=label`."""
    cold = np.asarray(users.cold_user, bool)
    slices = {COLD_USERS: cold, WARM_USERS: ~cold}
    codes = np.asarray(dataset.users.demographics)[users.user_rows]
    for position, (column, labels) in enumerate(dataset.spec.demographic_vocabs.items()):
        for code in np.unique(codes[:, position]):
            label = labels[code - 1] if code > 0 else "unknown"
            slices[f"{column}={label}"] = codes[:, position] == code
    return slices


def item_slices(dataset: Dataset) -> dict[str, Bools]:
    """Return bool[n_items] by name: cold items have no positive event in train."""
    cold = np.asarray(dataset.items.train_count) == 0
    return {COLD_ITEMS: cold, WARM_ITEMS: ~cold}


def popularity_deciles(dataset: Dataset) -> Ints:
    """Return int[n_items] in 0..9: the tenth of the catalogue an item's train popularity falls in, rarest first."""
    percentiles = popularity_percentiles(np.asarray(dataset.items.train_count))
    result: Ints = np.clip(np.ceil(percentiles * N_DECILES) - 1, 0, N_DECILES - 1).astype(np.int64)
    return result
