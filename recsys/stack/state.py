"""What runs, on which ports, for which configuration: `<state>/stack.json`."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from recsys.stack.ports import HOST
from recsys.stack.processes import Service
from recsys.storage import read_json, write_json


class StackState(BaseModel):
    """The stack as it was started."""

    model_config = ConfigDict(frozen=True)
    name: str
    config: str
    airflow_port: int
    mlflow_port: int
    service_port: int = 8000
    services: tuple[Service, ...] = ()

    @property
    def airflow_url(self) -> str:
        """Address of the Airflow UI."""
        return f"http://{HOST}:{self.airflow_port}"

    @property
    def mlflow_url(self) -> str:
        """Address of the MLflow UI."""
        return f"http://{HOST}:{self.mlflow_port}"

    @property
    def service_url(self) -> str:
        """Address of the service and its page."""
        return f"http://{HOST}:{self.service_port}"

    def is_up(self) -> bool:
        """Tell whether every service that was started still runs."""
        return bool(self.services) and all(service.is_alive() for service in self.services)


def read_state(folder: Path) -> StackState | None:
    """Return what was last started, or None."""
    path = folder / "stack.json"
    return StackState.model_validate(read_json(str(path))) if path.exists() else None


def write_state(folder: Path, state: StackState) -> None:
    """Write down what is started, so that `down` finds it even if the starter dies."""
    write_json(str(folder / "stack.json"), state.model_dump(mode="json"))


def forget_state(folder: Path) -> None:
    """Nothing runs any more."""
    (folder / "stack.json").unlink(missing_ok=True)
