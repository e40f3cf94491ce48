"""Time and peak memory from raw files to training arrays: MovieLens 1M, and the demo world at a chosen size.

    python benchmarks/preprocess.py movielens DIR     # bar: 6 s
    python benchmarks/preprocess.py demo --scale 17   # about 5 M events; bar: 90 s and 4 GiB

Each case runs in a process of its own, so that peak memory is that case's alone. What the stages import is measured
first and apart: it is paid once per process, whatever the data's size, and most of it is Great Expectations.
"""

import importlib
import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from recsys import pipeline
from recsys.config import Config, DemoSource, MovieLensSource, PrivacyConfig

app = typer.Typer(add_completion=False)
_KIB_PER_GIB = 1024**2
_IMPORTS = {
    "import data": ("recsys.data.ingest", "recsys.data.sources"),
    "import great_expectations": ("recsys.data.validation",),
    "import features": ("recsys.features.build", "sklearn.decomposition", "sklearn.feature_extraction.text"),
}


@app.command()
def movielens(path: Path) -> None:
    """Measure MovieLens 1M."""
    _measure(Config(name="ml-1m", partition="all", source=MovieLensSource(release="1m", path=str(path))))


@app.command()
def demo(scale: Annotated[float, typer.Option(help="1 is about 300 k events")] = 17.0) -> None:
    """Measure the demo world."""
    _measure(Config(name="demo", source=DemoSource(scale=scale), privacy=PrivacyConfig()))


def _measure(config: Config) -> None:
    with tempfile.TemporaryDirectory() as folder:
        config = config.model_copy(update={"storage": folder})
        imports: dict[str, float] = {}
        for name, modules in _IMPORTS.items():
            _timed(imports, name, lambda modules=modules: [importlib.import_module(module) for module in modules])
        seconds: dict[str, float] = {}
        partitions = _timed(seconds, "ingest and privacy", lambda: pipeline.ingest(config))["partitions"]
        _timed(seconds, "validation", lambda: pipeline.validate(config, partitions))
        dataset = _timed(seconds, "select", lambda: pipeline.select(config))["dataset"]
        counts = _timed(seconds, "features", lambda: pipeline.build_features(config, dataset))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIB_PER_GIB
        print(
            json.dumps(
                {
                    "n_read": sum(part["counts"]["read"] for part in partitions),
                    "n_events": counts["n_events"],
                    "imports": {name: round(value, 2) for name, value in imports.items()},
                    "seconds": {name: round(value, 2) for name, value in seconds.items()},
                    "imports_s": round(sum(imports.values()), 2),
                    "stages_s": round(sum(seconds.values()), 2),
                    "total_s": round(sum(imports.values()) + sum(seconds.values()), 2),
                    "peak_gib": round(peak, 2),
                },
                indent=2,
            )
        )


def _timed(seconds: dict[str, float], name: str, stage: Any) -> Any:  # Any: a stage and its JSON
    begin = time.perf_counter()
    result = stage()
    seconds[name] = time.perf_counter() - begin
    return result


if __name__ == "__main__":
    app()
