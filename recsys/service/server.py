"""The service as a process: whether it may start, on which socket it listens, how it ends."""

import ipaddress
import logging
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from types import FrameType

import uvicorn
from pydantic import ValidationError

from recsys.config import Config, ServiceConfig
from recsys.errors import ConfigError
from recsys.service.app import create_app
from recsys.service.connection import limited
from recsys.service.contract import Engine
from recsys.service.engine import open_engine
from recsys.service.keys import Keyring, read_keyring

_BACKLOG = 2_048


def serve(
    config: Config,
    host: str | None = None,
    port: int | None = None,
    say: Callable[[str], None] = print,
    make_engine: Callable[[Config], Engine] = open_engine,
) -> None:
    """Serve until SIGTERM or SIGINT, then answer what is in flight and return.

    `host` and `port` replace the configured ones. Raises ConfigError when the deployment may not be served like this,
    has nothing to serve from, or the port is taken; StorageError for a damaged key file.
    """
    settings = _with(config.service, host, port)
    keyring = read_keyring(config.storage)
    check_access(config.mode, settings.host, keyring)
    engine = make_engine(config)
    app = create_app(engine, settings, partial(read_keyring, config.storage) if keyring is not None else None)
    listening = _listen(settings)
    address = f"http://{_shown(settings.host)}:{listening.getsockname()[1]}"
    say(f"{address} serves {config.name}; try it at {address}/, its operations are shown at {address}/docs")
    if keyring is None:
        say("It is open: there is no API key, so every program of this machine may read and write everything.")
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("recsys.service").setLevel(logging.INFO)
    for each in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises the signal again when it is done
        signal.signal(each, _end)
    uvicorn.Server(_uvicorn(app, settings)).run(sockets=[listening])


def check_access(mode: str, host: str, keyring: Keyring | None) -> None:
    """Raise ConfigError unless a service in this mode, on this host and with these keys may start."""
    if mode == "production" and not (keyring and keyring.records):
        raise ConfigError('mode = "production" needs API keys; make one with: recsys keys add NAME --scope read')
    if keyring is None and not _is_loopback(host):
        raise ConfigError(
            f"without API keys the service listens on loopback alone; got host {host!r}; "
            "make a key with: recsys keys add NAME --scope read"
        )


def _with(settings: ServiceConfig, host: str | None, port: int | None) -> ServiceConfig:
    changed = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    try:
        return ServiceConfig.model_validate(settings.model_dump() | changed)
    except ValidationError as error:
        told = "; ".join(f"{each['loc'][0]}: {each['msg']}" for each in error.errors(include_url=False))
        raise ConfigError(f"the service cannot listen there: {told}") from None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _listen(settings: ServiceConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}; choose another with --port"
        ) from None


def _uvicorn(app: Callable[..., object], settings: ServiceConfig) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=limited(settings),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,  # it would write paths, which hold ids
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=settings.shutdown_s,
    )


def _end(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)
