"""Model versions and the aliases challenger and champion."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version as installed
from pathlib import Path

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

from recsys.config import Config
from recsys.errors import RegistryError
from recsys.registry.runs import DEPLOYMENT, RUN_KEY, connect, registry_errors
from recsys.storage import local_path, relative_to_root

CHAMPION, CHALLENGER = "champion", "challenger"
_MODEL_FILE = Path(__file__).with_name("pyfunc_model.py")
_REQUIREMENTS = (
    "annoy", "fsspec", "matplotlib", "narwhals", "numpy", "onnxruntime", "pandas", "polars", "psutil", "pyarrow",
    "pydantic", "scikit-learn", "scipy",
)  # fmt: skip


def register_version(
    config: Config,
    run_id: str,
    run_key: str,
    bundle: str,
    index: str,
    tags: Mapping[str, str],
    demographics: Sequence[str] = (),
) -> str:
    """Log the bundle as a pyfunc model of the open run, register it, and make it the challenger.

    `demographics` are the columns by which the model may be told about a newcomer. A run that was registered before
    keeps its version. Returns the version.
    """
    with registry_errors():
        client = connect(config)
        if known := _version_of(client, config.registered_model, run_key):
            # An earlier try may have ended between the version and its alias.
            client.set_registered_model_alias(config.registered_model, CHALLENGER, known.version)
            return str(known.version)
        model = mlflow.pyfunc.log_model(
            name="two_tower",
            python_model=str(_MODEL_FILE),
            artifacts={"bundle": str(local_path(bundle)), "index": str(local_path(index))},
            signature=_signature(demographics),
            pip_requirements=[f"{name}=={installed(name)}" for name in _REQUIREMENTS],
            code_paths=[str(Path(__file__).parents[1])],
        )
        files = {"recsys.bundle": bundle, "recsys.index": index}
        everything = {
            RUN_KEY: run_key,
            DEPLOYMENT: config.name,
            "recsys.run_id": run_id,
            **{tag: relative_to_root(config.storage, uri) for tag, uri in files.items()},
            **tags,
        }
        version = mlflow.register_model(model.model_uri, config.registered_model, tags=everything)
        client.set_registered_model_alias(config.registered_model, CHALLENGER, version.version)
        return str(version.version)


def version_with(config: Config, alias: str) -> ModelVersion | None:
    """Return the version an alias names, or None."""
    with registry_errors():
        client = connect(config)
        try:
            return client.get_model_version_by_alias(config.registered_model, alias)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise


def tag_version(config: Config, version: str, tags: Mapping[str, str]) -> None:
    """Write tags onto a version."""
    with registry_errors():
        client = connect(config)
        for name, value in tags.items():
            client.set_model_version_tag(config.registered_model, version, name, value[:4000])


def make_champion(config: Config, version: str) -> None:
    """Move the alias `champion` to a version."""
    with registry_errors():
        connect(config).set_registered_model_alias(config.registered_model, CHAMPION, version)


def drop_alias(config: Config, alias: str) -> None:
    """Remove an alias; it may be gone already."""
    with registry_errors():
        connect(config).delete_registered_model_alias(config.registered_model, alias)


def version_tags(config: Config, version: str) -> dict[str, str]:
    """Return a version's tags; raise RegistryError when there is no such version."""
    with registry_errors():
        try:
            return dict(connect(config).get_model_version(config.registered_model, version).tags)
        except MlflowException:
            raise RegistryError(f"there is no version {version} of {config.registered_model}") from None


def _version_of(client: mlflow.MlflowClient, name: str, run_key: str) -> ModelVersion | None:
    found = client.search_model_versions(f"name = '{name}'")
    return next((version for version in found if version.tags.get(RUN_KEY) == run_key), None)


def _signature(demographics: Sequence[str]) -> ModelSignature:
    text, number = DataType.string, DataType.long
    optional = [ColSpec(text, name, required=False) for name in ("device", "at", "history", *demographics)]
    columns = {
        "user_id": text,
        "item_id": text,
        "title": text,
        "score": DataType.double,
        "rank": number,
        "reason": text,
    }
    outputs = Schema([ColSpec(kind, name) for name, kind in columns.items()])
    return ModelSignature(
        Schema([ColSpec(text, "user_id"), *optional]), outputs, ParamSchema([ParamSpec("k", number, 10)])
    )
