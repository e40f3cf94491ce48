"""MLflow's alias `champion` against the champion that serves: a difference is undone and recorded, never followed.

Who is champion stands in the storage root, by the digest of what serves. The alias is how MLflow's users see it. Moved
by hand, or lost with the registered model, it says something else: each cycle looks, puts it back where that is
possible, and writes down once what it found.
"""

from typing import TYPE_CHECKING, Any

from recsys.config import Config
from recsys.storage import digest_of

if TYPE_CHECKING:
    from recsys.serving import Champion

Json = dict[str, Any]  # Any: JSON


def reconcile(config: Config, champion: "Champion | None") -> Json | None:
    """Hold the alias to the champion; return the ledger's record of what was found, None where they agree.

    Call with the lock `promotion` held.
    """
    from recsys.registry.versions import CHAMPION, drop_alias, make_champion, version_with

    version = version_with(config, CHAMPION)
    named = (str(version.version), str(version.tags.get("recsys.digest", ""))) if version else None
    if champion is None:
        if named is None:
            return None
        drop_alias(config, CHAMPION)
        return _found(
            config, "alias_undone", None, f"the alias named version {named[0]}, which passed no gate; removed"
        )
    if named == (champion.version, champion.digest):
        return None
    if _is_registered(config, champion):
        make_champion(config, champion.version)
        what = f"the alias named version {named[0]}" if named else "the alias was gone"
        return _found(
            config, "alias_undone", champion, f"{what}; it names version {champion.version} again, which serves"
        )
    if named:
        drop_alias(config, CHAMPION)
    return _found(
        config,
        "registry_lost",
        champion,
        f"version {champion.version} is no longer registered in MLflow"
        + (f", and version {named[0]} under the alias is another model: the alias was removed" if named else "")
        + "; what served goes on serving from storage",
    )


def _is_registered(config: Config, champion: "Champion") -> bool:
    from recsys.errors import RegistryError
    from recsys.registry.versions import version_tags

    try:
        return version_tags(config, champion.version).get("recsys.digest") == champion.digest
    except RegistryError:
        return False


def _found(config: Config, kind: str, champion: "Champion | None", note: str) -> Json:
    from recsys.registry import read_ledger, record_decision

    digest = champion.digest if champion else None
    decision = digest_of({"kind": kind, "champion": digest, "note": note})
    last = next(iter(reversed(read_ledger(config.storage))), None)
    if last and last.get("decision") == decision:  # looked before, and nothing happened since
        return dict(last)
    record: Json = {"kind": kind, "decision": decision, "promoted": False, "champion": digest, "note": note,
                    "version": champion.version if champion else None}  # fmt: skip
    return dict(record_decision(config.storage, record))
