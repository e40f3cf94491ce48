"""The stage before all others: a first configuration, guessed from files."""

import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from recsys.config import Config
from recsys.config.told import told
from recsys.errors import ConfigError

Json = dict[str, Any]  # Any: JSON


def init(interactions: str, users: str, items: str, out: Path, *, force: bool = False) -> Json:
    """Write a first TOML for files of interactions and, where not empty, users and items; return what to check in it.

    Raises ConfigError when `out` exists and `force` is not given, SourceError when a file cannot be read.
    """
    from recsys.data import draft, name_of

    if out.exists() and not force:
        raise ConfigError(f"{out} exists already; name another file with --out, or overwrite it with --force")
    uris = {"interactions": interactions, "users": users, "items": items}
    text = draft(name_of(interactions), {table: uri for table, uri in uris.items() if uri})  # type: ignore[misc]
    try:
        Config.model_validate(tomllib.loads(text))
    except ValidationError as error:
        raise ConfigError(
            f"no valid configuration can be guessed from these files: {told(error, Config)}; write it by hand"
        ) from error
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {out}: {error}; name another file with --out") from error
    missing = [line.removeprefix("# ") for line in text.splitlines() if line.endswith("was not found: map it below")]
    return {"config": str(out), "not_found": missing, "consent_recorded": "# consent_missing" not in text}
