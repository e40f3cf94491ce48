"""Carry out orders of erasure: everywhere, provably, and for good.

Who is to be erased is kept out first, then what holds the user is counted and noted, then it goes: rows of stores at
once, published folders by copies to which the champions are led. A certificate ends each order, and the order, which
names the pseudonym, is the last file to go. Ended anywhere, the next run goes on; run it while nothing trains.
"""

from collections.abc import Callable
from typing import Any

from recsys.config import Config
from recsys.data import PseudonymKey, load_key
from recsys.errors import DataError, StorageError
from recsys.pipeline.certificate import certificate_at, read_certificate, write_certificate
from recsys.pipeline.data import moment_of
from recsys.pipeline.erasure_copies import redacted_copies
from recsys.pipeline.erasure_journal import begin_journal, certified, check_left, end_journal, left_of
from recsys.pipeline.erasure_orders import Order, close_order, open_orders
from recsys.pipeline.erasure_places import BROKER, MONITORING, Wanted, leftovers, survey
from recsys.pipeline.gc import collect, lead_to, logged_copies
from recsys.pipeline.gc_plan import Plan, plan_erasure
from recsys.pipeline.promotion import completed
from recsys.storage import exists, join, list_names, locked, remove

Json = dict[str, Any]  # Any: JSON


def erase(config: Config, as_of: str, user: str | None = None, say: Callable[[str], object] = str) -> Json:
    """Carry out all open orders of erasure; with `user`, an id of the source, an order for that user is made first.

    `as_of` is the moment the certificates name. `say` hears each step before it begins. Returns the receipts of the
    certificates. Raises DataError without a date or for an order of another pseudonym key, StorageError where something
    cannot be erased now, as another process reads it: the order stays open, and the next run goes on.
    """
    from recsys.data.erased import bury, order_erasure
    from recsys.serving import read_champion

    moment = moment_of(as_of)
    if moment is None:
        raise DataError("an erasure needs a date: as_of = 2026-01-31")
    key = load_key(config)
    with locked(config.storage, "promotion"):
        if user is not None:
            order_erasure(config.storage, user, key, moment)
            _erase_messages(config, f'"{user}"')
        orders = [each for each in open_orders(config, key) if not _was_certified(config, each)]
        if orders:
            say("keep out")
            bury(config, {each.user: each.at for each in orders}, key)
            completed(config, read_champion(config.storage))
            plan = plan_erasure(config, frozenset(each.user for each in orders), moment)
            say("survey")
            begin_journal(config, orders, _survey(config, orders), logged_copies(config, plan))
            _carry_out(config, orders, plan, key, say)
            say("certify")
            _certify(config, orders, moment.isoformat(), key, say)
    return {"as_of": moment.isoformat(), "certificates": [each.receipt for each in orders]}


def verify_erasure(config: Config, receipt: str) -> Json:
    """Check a certificate and that the places it names still hold nothing of the user; nothing is changed.

    Returns `holds`, rows by place, empty where nothing does, and whether the user has `consented_anew` since. Raises
    StorageError where there is no such certificate or it was changed.
    """
    from recsys.data.erased import read_tombstones, tombstone_of

    told, key = read_certificate(config, receipt), load_key(config)
    if told["key_id"] != key.key_id:
        raise DataError(
            f"the certificate is of the pseudonym key {told['key_id']}, the present key is {key.key_id}: under another "
            "key nobody can find the user"
        )
    found: set[str] = set()

    def owner(user: str) -> str | None:
        if tombstone_of(user, key) != told["tombstone"]:
            return None
        found.add(user)
        return receipt

    places = survey(config, Wanted(owner))
    left = left_of(config, receipt, {each["place"]: each for each in told["places"]}, places)
    stones = read_tombstones(config, key)
    anew = any(stones.renewed(user, stones.ordered[told["tombstone"]]) for user in found)
    return {"receipt": receipt, "signed": told["signature"]["algorithm"], "completed_as_of": told["completed_as_of"],
            "holds": {name: n for name, n in left.items() if n}, "consented_anew": anew}  # fmt: skip


def _survey(config: Config, orders: list[Order]) -> Any:  # Any: places by name
    return survey(config, _wanted(orders))


def _wanted(orders: list[Order]) -> Wanted:
    """Return who is looked for; of several orders of one user the first one's receipt stands for all."""
    receipts: dict[str, str] = {}
    for each in orders:
        receipts.setdefault(each.user, each.receipt)
    return Wanted(receipts.get, {receipt: user for user, receipt in receipts.items()})


def _carry_out(
    config: Config, orders: list[Order], plan: Plan, key: PseudonymKey, say: Callable[[str], object]
) -> None:
    users = sorted({each.user for each in orders})
    say("states")
    _erase_states(config, users)
    say("log")
    _erase_log(config, users, key)
    say("messages")
    for user in users:
        _erase_messages(config, user)
    say("monitoring")
    for name in list_names(join(config.storage, MONITORING)):  # values of single users, made again when needed
        remove(join(config.storage, MONITORING, name))
    say("copies")
    copies = redacted_copies(config, plan)
    say("champions")
    lead_to(config, plan, copies)
    say("collect")
    collect(config, plan)
    for uri in leftovers(config, frozenset(users)):
        remove(uri)


def _erase_states(config: Config, users: list[str]) -> None:
    from recsys.users import open_users

    store = open_users(config)
    for user in users:
        store.delete(user)
    store.close()


def _erase_log(config: Config, users: list[str], key: PseudonymKey) -> None:
    from recsys.eventlog import has_log, open_log

    if not has_log(config):
        return
    log = open_log(config, key.key_id)
    for user in users:
        log.erase(user)
    log.close()


def _erase_messages(config: Config, text: str) -> None:
    from recsys.eventlog import erase_quarantined

    if exists(join(config.storage, BROKER)):
        erase_quarantined(config.storage, text)


def _was_certified(config: Config, order: Order) -> bool:
    """Tell whether an earlier run was ended just before its order went; then the order goes now."""
    if not exists(certificate_at(config, order.receipt)):
        return False
    read_certificate(config, order.receipt)
    _close(config, order)
    return True


def _certify(config: Config, orders: list[Order], as_of: str, key: PseudonymKey, say: Callable[[str], object]) -> None:
    places, wanted = _survey(config, orders), _wanted(orders)
    first = {user: receipt for receipt, user in wanted.known.items()}
    if left := leftovers(config, frozenset(first)):
        raise StorageError(f"{left[0]} is being written and holds an erased user; erase again when that has ended")
    for order in orders:
        content = certified(config, order, first[order.user], places, as_of, key)
        check_left(content)
        write_certificate(config, content)
        say("close")
        _close(config, order)


def _close(config: Config, order: Order) -> None:
    close_order(config, order.receipt)
    end_journal(config, order.receipt)
