"""Try a rule on test sets drawn from a case's own train: no test data has a say.

    python benchmarks/nested.py v5                                          # the weight of item-item evidence
    python benchmarks/nested.py v5 --setting blend.min_gain --values 0,0.5,1

Of every draw a share of the case's train is its test set, the rest is divided and fitted as ever, once for every value
of the setting. Prints nDCG@10 of each draw, then the means.
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import polars as pl
import typer
from prepare import ROOT, prepare

from recsys.config import Config, load_config
from recsys.pipeline import backtest

_METRIC = "ndcg_at_10"
app = typer.Typer(add_completion=False)


@app.command()
def main(
    case: Annotated[str, typer.Argument(help="a case whose protocol is `files`, without folds")],
    setting: str = "blend.item_item_weight",
    values: Annotated[str, typer.Option(help="comma-separated numbers")] = "0,0.125",
    draws: Annotated[int, typer.Option(min=1)] = 4,
    share: Annotated[float, typer.Option(min=0.01, max=0.5)] = 0.2,
) -> None:
    """Print the towers' and the hybrid's nDCG@10 under each value of a setting."""
    prepare(case)
    config = load_config(ROOT / "benchmarks" / f"{case}.toml")
    rows = pl.read_parquet(ROOT / config.source.interactions.uri)
    tried = [float(value) for value in values.split(",")]
    found = []
    for draw in range(draws):
        tested = pl.Series(np.random.default_rng(draw).random(len(rows)) < share)
        with TemporaryDirectory() as folder:
            train, test = (Path(folder) / f"{name}.parquet" for name in ("train", "test"))
            rows.filter(~tested).write_parquet(train)
            rows.filter(tested).write_parquet(test)
            found.append([_measured(_changed(config, train, test, draw, setting, value), Path(folder) / "out")
                          for value in tried])  # fmt: skip
        print(f"draw {draw}: {_told(setting, tried, found[-1])}", flush=True)
    print(f"mean: {_told(setting, tried, np.mean(found, axis=0).tolist())}")


def _changed(config: Config, train: Path, test: Path, seed: int, setting: str, value: float) -> Config:
    section, name = setting.split(".")
    table = config.source.interactions.model_copy(update={"uri": str(train)})
    measured = {"test": str(test), "models": ("two_tower", "hybrid"), "seeds": (seed,), "main_metric": _METRIC}
    return config.model_copy(
        update={
            "source": config.source.model_copy(update={"interactions": table}),
            "backtest": config.backtest.model_copy(update=measured),
            section: getattr(config, section).model_copy(update={name: value}),
        }
    )


def _measured(config: Config, out: Path) -> list[float]:
    backtest(config, out, lambda *_: None)
    models = json.loads((out / "metrics.json").read_text())["models"]
    return [models[name]["metrics"][_METRIC] for name in ("two_tower", "hybrid")]


def _told(setting: str, tried: list[float], found: list[list[float]]) -> str:
    return ", ".join(
        f"{setting} = {value:g}: towers {towers:.4f}, hybrid {hybrid:.4f}"
        for value, (towers, hybrid) in zip(tried, found, strict=True)
    )


if __name__ == "__main__":
    app()
