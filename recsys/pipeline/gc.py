"""Collect what may not be kept and what nothing needs: a plan first, and only on demand its effects.

Run it while nothing trains: what an unfinished training has made of an older training set is taken for left over.
Copies come first, then what serves is led to them, and last the originals go. Killed anywhere, the next run goes on.
"""

import sys
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from recsys.config import Config
from recsys.errors import DataError
from recsys.pipeline.data import moment_of
from recsys.pipeline.gc_plan import MADE, TABLES, Plan, kept_champions, plan_gc
from recsys.pipeline.lineage import digest_at
from recsys.pipeline.promotion import completed
from recsys.pipeline.redaction import replace_champion, tag_redacted
from recsys.storage import current, join, list_names, local_path, locked, remove, versions

if TYPE_CHECKING:
    from recsys.data.stored import Limits

Json = dict[str, Any]  # Any: JSON
_FIELDS = ("bundle", "dataset", "evaluation", "recipe_towers", "recipe_features")  # of a champion; an index has no user
_USERS = 10_000  # looked at at a time


def gc(config: Config, as_of: str, *, apply: bool = False) -> Json:
    """Return what holds rows that may not be kept at `as_of`, or is needed by nothing; with `apply`, collect it.

    Returns `findings` with address, action and reason, `logged` with the versions in MLflow whose copy of a bundle goes
    or is replaced, and whether it was applied. Raises DataError without a date or across a change of the pseudonym key.
    """
    from recsys.serving import read_champion

    moment = moment_of(as_of)
    if moment is None:
        raise DataError("a collection needs a date: as_of = 2026-01-31")
    with locked(config.storage, "promotion"):
        if apply:
            completed(config, read_champion(config.storage))
        plan = plan_gc(config, moment)
        logged = logged_copies(config, plan)
        if apply:
            _apply(config, plan)
            _withhold(config, plan)
    found = [{"address": each.address, "action": each.action, "reason": each.reason} for each in plan.findings]
    return {"as_of": moment.isoformat(), "applied": apply, "findings": found, "logged": logged}


def _apply(config: Config, plan: Plan) -> None:
    lead_to(config, plan, redacted_tables(config, plan, *TABLES) | _redacted_training_sets(config, plan))
    collect(config, plan)


def lead_to(config: Config, plan: Plan, copies: Mapping[str, str]) -> None:
    """Lead champions, their tags and MLflow's copies of their bundles to copies, by the address they are made from."""
    for champion in plan.champions:  # the one that serves comes last, so that the ledger ends with it
        names = {name: copies[uri] for name in _FIELDS if (uri := getattr(champion, name)) in copies}
        if names:
            replace_champion(config, champion, names, serves=champion is plan.champions[-1])
    for champion in kept_champions(config, plan.as_of):
        tag_redacted(config, champion)  # or a run killed before this line leaves a tag that names what goes now
    _collect_logged(config, plan)


def collect(config: Config, plan: Plan) -> None:
    """Delete what a plan finds, once nothing is led there; training sets last, as they tell whom the rest holds."""
    for finding in sorted(plan.findings, key=lambda each: each.address.startswith("features/")):
        remove(join(config.storage, finding.address))
    _remove_empty(config)


def _withhold(config: Config, plan: Plan) -> None:
    """Take withheld users, and meetings past retention, out of the store of states.

    Of users who withdrew themselves, online, it stays that they did: nothing of them may be taken in again.
    """
    from recsys.users import open_users

    store = open_users(config)
    users = store.users()
    while block := list(islice(users, _USERS)):
        for user, state in store.get_many(sorted(plan.limits.withheld(block))).items():
            if state.since and state.consent_personalization is False:
                continue
            store.delete(user)
    if plan.limits.since:
        store.expire(plan.limits.since)
    store.close()


def redacted_tables(config: Config, plan: Plan, *rooms: str) -> dict[str, str]:
    """Publish the copies that a plan wants of tables in some rooms; returns them by the address they are made from."""
    from recsys.data.stored import redact_tables

    copies = {}
    for address in plan.of("redact", *rooms):
        uri = join(config.storage, address)
        is_current = current(uri.rsplit("/", 1)[0]) == uri
        copies[uri] = redact_tables(uri, plan.limits, make_current=is_current)
    return copies


def _redacted_training_sets(config: Config, plan: Plan) -> dict[str, str]:
    from recsys.features import redact_features
    from recsys.registry import redact_bundle

    copies = {}
    before = int(plan.limits.since.timestamp()) if plan.limits.since and config.timed else None
    for room, redact, inside in (("features", redact_features, ""), ("bundles", redact_bundle, "dataset")):
        for address in plan.of("redact", room):
            uri = join(config.storage, address)
            users = withheld_in(join(uri, inside) if inside else uri, plan.limits)
            copies[uri] = redact(uri, users, before)
    return copies


def withheld_in(uri: str, limits: "Limits") -> set[str]:
    """Return who of a training set, its rows or its vocabulary, may not be kept."""
    from recsys.features import load_dataset

    dataset = load_dataset(uri)
    return limits.withheld([*dataset.users.ids.tolist(), *dataset.spec.user_vocab])


def logged_copies(config: Config, plan: Plan) -> list[Json]:
    """Return which versions' copies in MLflow go, and which are replaced by what their champion was led to."""
    from recsys.registry.logged import logged_bundles

    actions = {digest_at(each.address): each.action for each in plan.findings if each.address.startswith("bundles/")}
    stored = _bundles(config)
    found = []
    for version, digest, named in sorted(logged_bundles(config)):
        left = "redact" if named in stored and named != digest else "delete"
        if action := actions.get(digest, None if digest in stored else left):
            found.append({"version": version, "bundle": digest, "named": named, "action": action})
    return found


def _collect_logged(config: Config, plan: Plan) -> None:
    """Call once the tags of redacted versions name the copies."""
    from recsys.registry.logged import remove_logged, replace_logged

    stored = _bundles(config)
    for each in logged_copies(config, plan):
        if each["action"] == "redact":
            replace_logged(config, each["version"], each["bundle"], local_path(stored[each["named"]]))
        else:
            remove_logged(config, each["version"], each["bundle"])


def _bundles(config: Config) -> dict[str, str]:
    base = join(config.storage, "bundles")
    return {digest_at(uri): uri for name in list_names(base) for uri in versions(join(base, name))}


def _remove_empty(config: Config) -> None:
    """Remove what named a current version of which nothing is left."""
    for room in (*TABLES, "consent", *MADE):
        for name in list_names(join(config.storage, room)):
            base = join(config.storage, room, name)
            if not name.startswith(".") and not versions(base):
                remove(base)


def print_collection(found: Json) -> None:
    """Print a collection as a table: what goes or is replaced, and why."""
    done = found["applied"]
    title = f"{'Collected' if done else 'Would be collected'} as of {found['as_of']}"
    table = Table("what", "action", "why", title=title, caption=None if done else "a dry run: --apply does it")
    for each in found["findings"]:
        table.add_row(each["address"], each["action"], each["reason"])
    for each in found["logged"]:
        table.add_row(f"MLflow version {each['version']}", each["action"], f"its copy of bundle {each['bundle']}")
    Console(width=160 if not sys.stdout.isatty() else None).print(table)
