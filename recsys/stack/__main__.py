"""`python -m recsys.stack demo|down|status`."""

import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from recsys.errors import RecsysError
from recsys.stack import services
from recsys.stack.datasets import write_config
from recsys.stack.demo import demo as run_demo
from recsys.stack.state import read_state

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
_console = Console()
_errors = Console(stderr=True)

StateOption = Annotated[Path, typer.Option("--state", envvar="RECSYS_STATE", help="folder that holds all state")]


@app.command()
def demo(
    dataset: Annotated[str, typer.Option(help="demo, movielens-100k or movielens-1m")] = "demo",
    data_dir: Annotated[Path | None, typer.Option(help="folder with the unpacked release")] = None,
    config: Annotated[Path | None, typer.Option(help="your own configuration instead of a dataset")] = None,
    state: StateOption = Path("state"),
) -> None:
    """Start Airflow and MLflow, run the loop to a champion, show it."""
    signal.signal(signal.SIGTERM, _end)
    folder = state.resolve()
    run_demo(folder, config.resolve() if config else write_config(folder, dataset, data_dir), _console)


@app.command()
def down(state: StateOption = Path("state")) -> None:
    """Stop every process of the stack."""
    services.down(state.resolve(), _console.print)


@app.command()
def status(state: StateOption = Path("state")) -> None:
    """Say what runs."""
    running = read_state(state.resolve())
    if running is None:
        _console.print("nothing is running")
        raise typer.Exit(1)
    for service in running.services:
        _console.print(f"{service.name:<14} {'up' if service.is_alive() else 'down'}  {service.log}")
    _console.print(f"Page     {running.service_url}\nAirflow  {running.airflow_url}\nMLflow   {running.mlflow_url}")


def main() -> None:
    """Run the command line; an expected error is one message and exit code 1."""
    try:
        app()
    except RecsysError as error:
        _errors.print(f"[red]{type(error).__name__}[/]", end=": ")
        _errors.print(str(error), markup=False, highlight=False, soft_wrap=True)
        raise SystemExit(1) from error


def _end(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    main()
