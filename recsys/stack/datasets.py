"""The datasets of `make demo`: each becomes an ordinary configuration file, like anyone's own."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from recsys.config import load_config
from recsys.errors import ConfigError
from recsys.storage import write_text

DatasetName = Literal["demo", "movielens-100k", "movielens-1m"]


def write_config(folder: Path, dataset: str, data_dir: Path | None) -> Path:
    """Write `<folder>/<dataset>/config.toml` and return its path; raise ConfigError when it would not be valid."""
    if dataset not in get_args(DatasetName):
        raise ConfigError(f"DATASET must be one of {', '.join(get_args(DatasetName))}; got {dataset!r}")
    if data_dir is not None and not data_dir.is_dir():
        raise ConfigError(f"DATA_DIR must be a folder with the unpacked {dataset}; got {data_dir}")
    home = (folder / dataset).resolve()
    path = home / "config.toml"
    text = _toml({"name": dataset, "storage": str(home / "data"), **_settings(dataset, data_dir)})
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text(str(path), text)
    load_config(path)
    return path


def _settings(dataset: str, data_dir: Path | None) -> dict[str, Any]:  # Any: TOML
    if dataset == "demo":
        return {"partition": "day", "source": {"kind": "demo"}}
    source = {
        "kind": "movielens",
        "release": dataset.removeprefix("movielens-"),
        "path": str(data_dir.resolve()) if data_dir else "",
    }
    # MovieLens users agreed to research use; the releases carry no consent columns
    return {"partition": "all", "source": source, "privacy": {"consent_missing": "allow"}}


def _toml(settings: Mapping[str, Any]) -> str:
    plain = [f"{key} = {json.dumps(value)}" for key, value in settings.items() if not isinstance(value, Mapping)]
    for name, section in settings.items():
        if isinstance(section, Mapping):
            plain += ["", f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in section.items())]
    return "\n".join(plain) + "\n"
