"""The command line: arguments in, pipeline stages called, tables out."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from recsys import pipeline
from recsys.config import load_config
from recsys.errors import ConfigError, RecsysError

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_show_locals=False)
keys_app = typer.Typer(no_args_is_help=True, help="Make, list and revoke API keys of the online service.")
app.add_typer(keys_app, name="keys")
_errors = Console(stderr=True)

ConfigOption = Annotated[Path | None, typer.Option("--config", help="TOML file; default: $RECSYS_CONFIG or the demo")]


@app.command()
def init(
    interactions: Annotated[str, typer.Option(help="CSV, Parquet or JSON lines with a row per event")],
    users: Annotated[str, typer.Option(help="the same with a row per user")] = "",
    items: Annotated[str, typer.Option(help="the same with a row per item")] = "",
    out: Annotated[Path, typer.Option(help="TOML file to write")] = Path("my.toml"),
    force: Annotated[bool, typer.Option("--force", help="overwrite it if it exists")] = False,
) -> None:
    """Look at files and write a first configuration for them: every guess with its reason, for you to check."""
    written = pipeline.init(interactions, users, items, out, force=force)
    told = [f"{out} is written; check every line with a comment", *written["not_found"]]
    if not written["consent_recorded"]:
        told.append("no column tells who agreed to personalisation: see [privacy] in the file before you run")
    _errors.print(". ".join(told), markup=False, highlight=False, soft_wrap=True)
    _errors.print(f"Then: recsys run --config {out}", markup=False, highlight=False, soft_wrap=True)


@app.command()
def run(
    config: ConfigOption = None,
    start: Annotated[str | None, typer.Option(help="first day, ISO 8601; default: the source's first")] = None,
    end: Annotated[str | None, typer.Option(help="day after the last; default: the source's last")] = None,
    run_name: Annotated[str, typer.Option(help="name of the MLflow run")] = "cli",
) -> None:
    """Run every stage from the source to a promoted champion, without Airflow."""
    settings = load_config(config)
    pipeline.run(settings, start, end, run_name, _errors.print)
    pipeline.show(settings)


@app.command()
def show(config: ConfigOption = None) -> None:
    """Print the champion against its baselines and what it recommends."""
    pipeline.show(load_config(config))


@app.command()
def recommend(
    config: ConfigOption = None,
    user: Annotated[str | None, typer.Option(help="the user's id as the source writes it; none: a newcomer")] = None,
    k: Annotated[int, typer.Option(min=1)] = 10,
) -> None:
    """Print recommendations for one user."""
    pipeline.print_recommendations(load_config(config), user, k)


@app.command()
def backtest(
    out: Annotated[Path, typer.Option(help="folder for metrics.json, recommendations.parquet and their like")],
    config: ConfigOption = None,
) -> None:
    """Fit and compare models by a protocol, on any data the sources read."""
    report = pipeline.backtest(load_config(config), out, _print_epoch if _errors.is_terminal else _silence)
    pipeline.print_report(report)


@app.command()
def onboard(
    config: ConfigOption = None,
    answers: Annotated[Path | None, typer.Option(help="CSV of item_id,answer instead of questions")] = None,
    about: Annotated[list[str] | None, typer.Option(help="demographics as name=label, may be repeated")] = None,
    questions: Annotated[int, typer.Option(min=1)] = 5,
    skip: Annotated[
        bool, typer.Option("--skip", help="count known items only; asks 25 or --questions at most")
    ] = False,
    k: Annotated[int, typer.Option(min=1)] = 10,
) -> None:
    """Ask a newcomer about a few items (l: like, d: dislike, ?: don't know) and print recommendations."""
    demographics = dict(_pair(text) for text in about or ())
    pipeline.onboard(load_config(config), answers, demographics, questions, k, skip=skip)


@app.command()
def monitor(as_of: str, config: ConfigOption = None) -> None:
    """Compare the days before AS_OF with what the champion learned from."""
    typer.echo(json.dumps(pipeline.monitor(load_config(config), as_of), indent=2))


@app.command()
def tune(
    config: ConfigOption = None,
    trials: Annotated[int | None, typer.Option(min=1, help="trials of the study; default: tuning.n_trials")] = None,
    as_of: Annotated[str | None, typer.Option(help="use the days before this one; default: all")] = None,
    run_name: Annotated[str, typer.Option(help="name of the MLflow run")] = "tuning",
) -> None:
    """Search model settings on validation data; the best become the next training's. Run again to go on."""
    settings = load_config(config)
    if trials is not None:
        settings = settings.model_copy(update={"tuning": settings.tuning.model_copy(update={"n_trials": trials})})
    pipeline.tune(settings, as_of, run_name, _errors)


@app.command()
def rollback(version: Annotated[str | None, typer.Argument()] = None, config: ConfigOption = None) -> None:
    """Make an earlier champion serve again; by default the one before."""
    typer.echo(json.dumps(pipeline.rollback(load_config(config), version), indent=2))


@app.command()
def gc(
    as_of: Annotated[str, typer.Option(help="the date from which retention counts back, ISO 8601")],
    config: ConfigOption = None,
    apply: Annotated[bool, typer.Option("--apply", help="do it; without, only print what would be done")] = False,
) -> None:
    """Collect what holds rows of withheld users or past retention, or what nothing refers to; dry run by default."""
    pipeline.print_collection(pipeline.gc(load_config(config), as_of, apply=apply))


@app.command()
def erase(
    as_of: Annotated[str | None, typer.Option(help="the moment that certificates name, ISO 8601")] = None,
    config: ConfigOption = None,
    user: Annotated[str | None, typer.Option(help="make an order for this id of the source, and carry it out")] = None,
    verify: Annotated[str | None, typer.Option(help="only check the certificate of this receipt")] = None,
) -> None:
    """Carry out all orders of erasure and print the receipts of their certificates; or check a certificate."""
    settings = load_config(config)
    if verify is not None:
        found = pipeline.verify_erasure(settings, verify)
        typer.echo(json.dumps(found, indent=2))
        if found["holds"] and not found["consented_anew"]:
            raise typer.Exit(1)
        return
    if as_of is None:
        raise ConfigError("recsys erase needs --as-of, such as 2026-01-31, or --verify with a receipt")
    typer.echo(json.dumps(pipeline.erase(settings, as_of, user, _say), indent=2))


@app.command()
def rotate_key(config: ConfigOption = None) -> None:
    """Load everything again under the configured pseudonym key, then replace what another key wrote."""
    typer.echo(json.dumps(pipeline.rotate_key(load_config(config)), indent=2))


@app.command()
def ledger(config: ConfigOption = None) -> None:
    """Print every promotion decision after checking that none was altered."""
    for record in pipeline.ledger(load_config(config)):
        typer.echo(json.dumps(record, sort_keys=True))


@app.command()
def serve(
    config: ConfigOption = None,
    host: Annotated[str | None, typer.Option(help="default: service.host")] = None,
    port: Annotated[int | None, typer.Option(help="default: service.port; 0 takes a free one")] = None,
) -> None:
    """Answer requests over HTTP until stopped; requests in flight are answered first."""
    from recsys import service

    service.serve(load_config(config), host, port, _say)


@keys_app.command("add")
def add_key(
    name: Annotated[str, typer.Argument(help="who uses the key, such as web-shop")],
    config: ConfigOption = None,
    scope: Annotated[
        Literal["read", "write", "admin"], typer.Option(help="admin includes write, write includes read")
    ] = "read",
    rate: Annotated[str, typer.Option(help="requests a second, such as 50/s")] = "50/s",
) -> None:
    """Make a key and print it, the only time that it can be seen."""
    from recsys import service

    key = service.add_key(load_config(config).storage, name, scope, _rate(rate), datetime.now(UTC))
    _say("Keep this key now; it is not shown again and only a hash of it is stored.")
    typer.echo(key)


@keys_app.command("list")
def list_keys(config: ConfigOption = None) -> None:
    """Print name, scope and rate of every key as JSON lines."""
    from recsys import service

    for record in service.list_keys(load_config(config).storage):
        typer.echo(record.model_dump_json(include={"name", "scope", "rate", "created_at"}))


@keys_app.command("revoke")
def revoke_key(name: str, config: ConfigOption = None) -> None:
    """Make a key count no more; a running service notices within `service.keys_refresh_s`."""
    from recsys import service

    service.revoke_key(load_config(config).storage, name)


def _rate(text: str) -> float:
    if (found := re.fullmatch(r"(\d{1,7}(?:\.\d{1,3})?)(?:/s)?", text)) is None:
        raise ConfigError(f"--rate must be requests a second, such as 50/s; got {text!r}")
    return float(found[1])


def _say(text: str) -> None:
    _errors.print(text, markup=False, highlight=False, soft_wrap=True)


def _print_epoch(title: str, epoch: int, record: dict[str, float]) -> None:
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in record.items())
    _errors.print(f"{title}: epoch {epoch}: {numbers}")


def _silence(title: str, epoch: int, record: dict[str, float]) -> None:
    """Say nothing where nobody watches."""


def _pair(text: str) -> tuple[str, str]:
    name, separator, label = text.partition("=")
    if not separator:
        raise ConfigError(f"--about must be name=label; got {text!r}")
    return name, label


def main() -> None:
    """Run the command line; expected errors end in one clear line and exit code 1."""
    try:
        app()
    except RecsysError as error:
        _errors.print(f"[red]{type(error).__name__}[/]", end=": ")
        _errors.print(str(error), markup=False, highlight=False, soft_wrap=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
