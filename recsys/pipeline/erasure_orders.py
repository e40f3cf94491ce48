"""Orders of erasure: who is to be erased, as the service or a person ordered, until a certificate takes their place."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from recsys.config import Config
from recsys.data.erased import ORDERS
from recsys.errors import DataError, StorageError
from recsys.pipeline.data import moment_of
from recsys.storage import exists, join, list_names, read_json, remove

if TYPE_CHECKING:
    from recsys.data import PseudonymKey

Json = dict[str, Any]  # Any: JSON


@dataclass(frozen=True)
class Order:
    """One open order: its receipt, the user's pseudonym, and when it was made."""

    receipt: str
    user: str
    at: datetime


def open_orders(config: Config, key: "PseudonymKey") -> list[Order]:
    """Return the open orders, oldest first.

    Raises StorageError for one that is damaged, DataError for one of another pseudonym key, under which nobody knows
    who is meant.
    """
    found = []
    for address, told in _orders(config).items():
        try:
            order = Order(str(told["receipt"]), str(told["user"]), datetime.fromisoformat(told["at"]))
            key_id = str(told["key_id"])
        except (KeyError, TypeError, ValueError):
            raise StorageError(f"{address} is no order of erasure; restore it, or make the order anew") from None
        if key_id != key.key_id:
            raise DataError(
                f"the order {order.receipt} names a user by the pseudonym key {key_id}, the present key is "
                f"{key.key_id}; make the order anew with recsys erase --user, then remove the order"
            )
        found.append(order)
    return sorted(found, key=lambda each: (each.at, each.receipt))


def close_order(config: Config, receipt: str) -> None:
    """Remove an order, the last place that holds the pseudonym; it may be gone already."""
    remove(_at(config, receipt))


def check_erasures(config: Config, as_of: str) -> Json:
    """Return how many orders are open; raise DataError where one is older than `privacy.erasure_days` at `as_of`."""
    moment = moment_of(as_of)
    if moment is None:
        raise DataError("the deadline of erasures needs a date: as_of = 2026-01-31")
    orders = _orders(config)
    limit = moment - timedelta(days=config.privacy.erasure_days)
    late = sorted(str(told.get("receipt")) for told in orders.values() if datetime.fromisoformat(told["at"]) < limit)
    if late:
        raise DataError(
            f"{len(late)} orders of erasure are open for more than {config.privacy.erasure_days} days, the first has "
            f"the receipt {late[0]}; run recsys erase and see why it fails"
        )
    return {"as_of": moment.isoformat(), "open": len(orders)}


def has_orders(config: Config) -> bool:
    """Tell whether an order is open."""
    return bool(_orders(config))


def _orders(config: Config) -> Mapping[str, Json]:
    base = join(config.storage, ORDERS)
    names = [name for name in list_names(base) if name.endswith(".json") and not name.startswith(".")]
    return {join(base, name): read_json(join(base, name)) for name in names if exists(join(base, name))}


def _at(config: Config, receipt: str) -> str:
    return join(config.storage, ORDERS, f"{receipt}.json")
