"""Where the engine of a deployment comes from."""

from recsys.config import Config
from recsys.errors import ConfigError
from recsys.service.contract import Engine


def open_engine(config: Config) -> Engine:
    """Return the engine of a deployment; raises ConfigError when there is nothing that it could serve from."""
    raise ConfigError(f"the deployment {config.name!r} has no engine to serve from")
