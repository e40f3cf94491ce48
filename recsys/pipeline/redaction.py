"""Lead a champion to redacted copies of its files: ledger first, then tags and pointer, as in a promotion."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from recsys.config import Config
from recsys.errors import RegistryError
from recsys.pipeline.lineage import digest_at
from recsys.storage import digest_of, relative_to_root

if TYPE_CHECKING:
    from recsys.serving import Champion


def replace_champion(config: Config, champion: "Champion", copies: Mapping[str, str], *, serves: bool) -> "Champion":
    """Record a redaction, old digest to new, and make the copies what the version stands for; returns it.

    `copies` are new addresses by the champion's field. Call with the lock `promotion` held. Ended between record and
    pointer, the next promotion, rollback or collection completes it.
    """
    from recsys.registry import record_decision

    index, bundle = champion.index, copies.get("bundle", champion.bundle)
    digest = f"{digest_at(bundle)}-{digest_at(index)}"
    new = champion.model_copy(update={**copies, "digest": digest})
    record_decision(
        config.storage,
        {
            "kind": "redacted",
            "decision": digest_of({"redacted": champion.digest, "copies": {**copies}}),
            "promoted": False,
            "version": champion.version,
            "champion": champion.digest,
            "replaced": champion.digest,
            "challenger": digest,
            "serves": serves,
            "served": new.to_record(config.storage),
        },
    )
    tag_redacted(config, new)
    if serves:
        from recsys.serving import write_champion

        write_champion(config.storage, new)
    return new


def tag_redacted(config: Config, champion: "Champion") -> None:
    """Write onto a version in MLflow what it stands for now."""
    from recsys.registry.versions import tag_version, version_tags

    root, record = config.storage, json.dumps(champion.to_record(config.storage))
    try:
        tags = version_tags(config, champion.version)
    except RegistryError:  # the registry lost it: what serves is in storage
        return
    if (tags.get("recsys.digest"), tags.get("recsys.champion")) == (champion.digest, record):
        return
    tag_version(
        config,
        champion.version,
        {
            "recsys.champion": record,
            "recsys.digest": champion.digest,
            "recsys.bundle": relative_to_root(root, champion.bundle),
        },
    )
