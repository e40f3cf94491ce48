"""The settings a study found, kept on the registered model: the next training reads them there."""

import mlflow
from mlflow.exceptions import MlflowException
from pydantic import BaseModel, ConfigDict, ValidationError

from recsys.config import Config, ModelConfig
from recsys.errors import RegistryError
from recsys.redaction import without_secrets
from recsys.registry.runs import connect, registry_errors

TAG = "recsys.tuned_settings"


class TunedSettings(BaseModel):
    """Model settings that beat the ones before them on validation data, and where they were found."""

    model_config = ConfigDict(frozen=True)
    study: str
    trial: int
    run_id: str
    settings: dict[str, bool | int | float | str]
    metric: str
    value: float
    baseline: float | None
    """The value of the settings before; None when they could not be trained."""
    data: str
    """The digest of the features all trials were trained on."""


def tuned_settings(config: Config) -> TunedSettings | None:
    """Return what the last study adopted, None before there was one; RegistryError when this version cannot use it."""
    with registry_errors():
        try:
            tags = connect(config).get_registered_model(config.registered_model).tags
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
    if TAG not in tags:
        return None
    try:
        tuned = TunedSettings.model_validate_json(tags[TAG])
        ModelConfig.model_validate(tuned.settings)
    except ValidationError as error:
        raise RegistryError(
            f"the tag {TAG} of {config.registered_model} does not fit [model]: {error.errors()[0]['loc']} "
            f"{error.errors()[0]['msg']}. Tune again, delete the tag, or set tuning.use_tuned = false"
        ) from None
    return tuned


def adopt(config: Config, tuned: TunedSettings) -> None:
    """Write the settings onto the registered model, which is created when nothing was registered yet."""
    with registry_errors():
        client = connect(config)
        try:
            client.get_registered_model(config.registered_model)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            client.create_registered_model(config.registered_model)
        client.set_registered_model_tag(config.registered_model, TAG, tuned.model_dump_json())


def tuned_url(config: Config) -> str:
    """Return where a person sees the registered model."""
    base = without_secrets(mlflow.get_tracking_uri())
    return f"{base}/#/models/{config.registered_model}" if base.startswith("http") else base
