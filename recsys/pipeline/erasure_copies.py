"""Copies without erased users of all that is kept, in the order in which one is made of the other."""

from collections.abc import Iterator
from typing import Any

from recsys.config import Config
from recsys.pipeline.gc import redacted_tables, withheld_in
from recsys.pipeline.gc_plan import TABLES, Plan
from recsys.pipeline.lineage import digest_at
from recsys.pipeline.rows_held import training_sets
from recsys.storage import join, list_names, read_manifest, versions

Json = dict[str, Any]  # Any: JSON


def redacted_copies(config: Config, plan: Plan) -> dict[str, str]:
    """Publish the copies that a plan of an erasure wants; returns them by the address they are made from.

    Nothing is led to them yet and nothing goes, so that it may be ended and done again.
    """
    copies = redacted_tables(config, plan, *TABLES, "consent", "datasets")
    copies |= dict(_features(config, plan))
    for make in (_models, _evaluations, _bundles):
        copies |= dict(make(config, plan, copies))
    return copies


def _features(config: Config, plan: Plan) -> Iterator[tuple[str, str]]:
    from recsys.features import redact_features

    for uri in _wanted(config, plan, "features"):
        yield uri, redact_features(uri, withheld_in(uri, plan.limits))


def _models(config: Config, plan: Plan, copies: dict[str, str]) -> Iterator[tuple[str, str]]:
    from recsys.features import load_spec
    from recsys.model.redact import redact_towers
    from recsys.registry import removed_places

    for uri in _wanted(config, plan, "models"):
        features = _made_of(config, uri, copies)
        yield uri, redact_towers(uri, removed_places(load_spec(features).user_vocab), _led(config, uri, copies))


def _evaluations(config: Config, plan: Plan, copies: dict[str, str]) -> Iterator[tuple[str, str]]:
    from recsys.evaluation import redact_evaluation
    from recsys.features import load_dataset

    for uri in _wanted(config, plan, "evaluations"):
        features = _made_of(config, uri, {})
        users = withheld_in(features, plan.limits)
        # A copy of the training set has other rows than those that were measured.
        measured = load_dataset(features) if digest_at(features) in _built_from(uri).values() else None
        yield uri, redact_evaluation(config, uri, measured, users, _led(config, uri, copies))


def _bundles(config: Config, plan: Plan, copies: dict[str, str]) -> Iterator[tuple[str, str]]:
    from recsys.registry import redact_bundle

    for uri in _wanted(config, plan, "bundles"):
        users = withheld_in(join(uri, "dataset"), plan.limits)
        yield uri, redact_bundle(uri, users, forget=True, info=_led(config, uri, copies))


def _wanted(config: Config, plan: Plan, room: str) -> list[str]:
    return [join(config.storage, address) for address in plan.of("redact", room)]


def _made_of(config: Config, uri: str, copies: dict[str, str]) -> str:
    """Return the training set that towers or an evaluation are of: as it is in storage, or the copy made of it."""
    features = _stored(config)[_built_from(uri)["features"]]
    return copies.get(features, features)


def _led(config: Config, uri: str, copies: dict[str, str]) -> Json:
    """Return the entry of a manifest that names what a folder is built from, led to the copies."""
    became = {digest: digest_at(copies.get(now, now)) for digest, now in _stored(config).items()}
    became |= {digest_at(old): digest_at(new) for old, new in copies.items()}
    return {"built_from": {name: became.get(digest, digest) for name, digest in _built_from(uri).items()}}


def _built_from(uri: str) -> dict[str, str]:
    built = read_manifest(uri).info.get("built_from")
    return {name: str(digest) for name, digest in built.items()} if isinstance(built, dict) else {}


def _stored(config: Config) -> dict[str, str]:
    base = join(config.storage, "features")
    return training_sets([uri for name in list_names(base) if not name.startswith(".")
                          for uri in versions(join(base, name))])  # fmt: skip
