"""The copies of bundles inside MLflow: every registered version logged one with its model."""

from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from recsys.config import Config
from recsys.registry.runs import DEPLOYMENT, connect, registry_errors

_BUNDLE_TAG = "recsys.bundle"
_ARTIFACTS = "artifacts"


def logged_bundles(config: Config) -> list[tuple[str, str, str]]:
    """Return (version, digest of a bundle logged with it, digest of the bundle its tags name), this deployment's alone.

    Versions whose copy was collected are left out.
    """
    with registry_errors():
        client = connect(config)
        found = client.search_model_versions(f"name = '{config.registered_model}'")
        return [(str(each.version), digest, str(each.tags.get(_BUNDLE_TAG, "")).rsplit("/", 1)[-1])
                for each in found if each.tags.get(DEPLOYMENT, config.name) == config.name
                for digest in _logged(_repository(client, each))]  # fmt: skip


def remove_logged(config: Config, version: str, digest: str) -> None:
    """Delete the copy of a bundle from a version, which stays with its numbers and cannot be loaded any more."""
    with registry_errors():
        client = connect(config)
        found = client.get_model_version(config.registered_model, version)
        _repository(client, found).delete_artifacts(f"{_ARTIFACTS}/{digest}")  # type: ignore[no-untyped-call]


def replace_logged(config: Config, version: str, digest: str, folder: Path) -> None:
    """Put a bundle's redacted copy, a folder named by its digest, in the place of the one logged with a version.

    The new copy and the model's description are written before the old copy goes; it may be done again.
    """
    with registry_errors():
        client = connect(config)
        repository = _repository(client, client.get_model_version(config.registered_model, version))
        repository.log_artifacts(str(folder), f"{_ARTIFACTS}/{folder.name}")  # type: ignore[no-untyped-call]
        with TemporaryDirectory() as aside:
            described = Path(repository.download_artifacts("MLmodel", aside))  # type: ignore[no-untyped-call]
            text = described.read_text(encoding="utf-8").replace(digest, folder.name)
            described.write_text(text, encoding="utf-8")
            repository.log_artifact(str(described))  # type: ignore[no-untyped-call]
        repository.delete_artifacts(f"{_ARTIFACTS}/{digest}")  # type: ignore[no-untyped-call]


def _repository(client: mlflow.MlflowClient, version: ModelVersion) -> ArtifactRepository:
    source = str(version.source)
    if source.startswith("models:/m-"):
        return get_artifact_repository(client.get_logged_model(source.removeprefix("models:/")).artifact_location)
    return get_artifact_repository(client.get_model_version_download_uri(version.name, version.version))


def _logged(repository: ArtifactRepository) -> list[str]:
    """Return the digests of the bundles among the logged folders; the index beside them holds no user."""
    try:
        folders = [str(each.path) for each in repository.list_artifacts(_ARTIFACTS) if each.is_dir]
        bundles = [path for path in folders if f"{path}/bundle.json" in _paths(repository, path)]
        return [path.rsplit("/", 1)[-1] for path in bundles]
    except (OSError, MlflowException):
        return []


def _paths(repository: ArtifactRepository, folder: str) -> list[str]:
    return [str(each.path) for each in repository.list_artifacts(folder)]
