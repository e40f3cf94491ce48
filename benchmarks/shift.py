"""What a retraining on the day of the alarm wins back after all tastes have shifted, by the demo world's own truth.

    python benchmarks/shift.py                 # the demo world at full size; writes benchmarks/SHIFT.md
    python benchmarks/shift.py --scale 0.3     # smaller, prints only

A champion is trained on 30 days, tastes shift on day 35, monitoring looks each day, and the retraining that its alarm
asks for runs on that day. On the following days every active user's list of ten is measured by nDCG on what the user
then does, and by the mean true preference for its items, which no event shows. What the shift took is the old
champion's loss against the same days without a shift.
"""

import argparse
import tempfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from recsys import pipeline
from recsys.config import Config
from recsys.data.demo import DemoWorld
from recsys.evaluation import ServedModel, served_recommender
from recsys.evaluation.metrics import ndcg_at_k
from recsys.evaluation.users import hits_of
from recsys.features import TEST, frames_to_dataset, requested
from recsys.registry import load_bundle
from recsys.schema import AGE, TIMESTAMP
from recsys.serving import read_champion

START = date(2026, 1, 1)
TRAINED, SHIFTED, LAST = 30, 35, 45
K = 10


def day(number: int) -> str:
    return (START + timedelta(days=number)).isoformat()


def world_of(storage: Path, scale: float, n_items: int, shifted: bool, seed: int, **model: object) -> Config:
    source = {"kind": "demo", "scale": scale, "n_items": n_items, "days": LAST + 1, "seed": seed,
              "shift_from": day(SHIFTED) if shifted else None}  # fmt: skip
    return Config.model_validate({"storage": str(storage), "partition": "all", "source": source, "model": model})


def load(config: Config) -> None:
    pipeline.validate(config, pipeline.ingest(config)["partitions"])


def train(config: Config, as_of: str) -> dict[str, object]:
    dataset = pipeline.select(config, as_of)["dataset"]
    features = pipeline.build_features(config, dataset)["features"]
    trained = pipeline.train(config, features, dataset)
    evaluated = pipeline.evaluate(config, trained)
    refitted = pipeline.refit(config, trained)
    registered = pipeline.register(config, trained, evaluated, refitted, pipeline.export_index(config, refitted))
    return pipeline.promote(config, registered)


def served(config: Config) -> ServedModel:
    champion = read_champion(config.storage)
    assert champion is not None
    bundle = load_bundle(champion.bundle)
    dataset = bundle.dataset
    return ServedModel(dataset.spec, dataset.text_model, dataset.items.ids.tolist(), bundle.towers, bundle.blend)


def tables(config: Config) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    world = DemoWorld(config.source)
    begin, end = world.interval()
    events, users, items = (
        pl.concat(list(read(begin, end))) for read in (world.interactions, world.users, world.items)
    )
    return events, users.with_columns(pl.col(AGE).cast(pl.String)), items


def rewards(config: Config, models: dict[str, ServedModel], first: int) -> Iterator[dict[str, float]]:
    """Yield, for each day from `first` on, the mean true preference of what each model lists to its active users."""
    world = DemoWorld(config.source)
    events, users, items = tables(config)
    for number in range(first, LAST):
        moment = datetime.combine(START + timedelta(days=number), datetime.min.time(), UTC)
        known = events.filter(pl.col(TIMESTAMP) < moment + timedelta(days=1))
        dataset = frames_to_dataset(config.features, known, users, items, cutoffs=(moment, moment))
        asked = requested(dataset, TEST)
        names = dataset.users.ids[asked.user_rows].tolist()
        truth = world.true_preference(names, dataset.items.ids.tolist(), moment)
        found = {}
        for name, model in models.items():
            recommender, with_histories = served_recommender(dataset, model, asked, TEST, name)
            lists = recommender.recommend(with_histories, K)
            found[name] = float(np.take_along_axis(truth, np.maximum(lists, 0), axis=1)[lists >= 0].mean())
            n_relevant = np.diff(asked.relevant.indptr).astype(np.int64)
            found[f"{name}_ndcg"] = float(ndcg_at_k(hits_of(lists, asked.relevant), n_relevant).mean())
        yield found


def recovered(folder: Path, scale: float, n_items: int, seed: int = 7, **model: object) -> dict[str, float]:
    """Return the share of the loss that the retraining on the day of the alarm wins back, and what it is made of."""
    quiet = world_of(folder / "state", scale, n_items, shifted=False, seed=seed, **model)
    load(quiet)
    train(quiet, day(TRAINED))
    old = served(quiet)
    shifted = world_of(folder / "state", scale, n_items, shifted=True, seed=seed, **model)
    load(shifted)
    alarm = next(
        (number for number in range(SHIFTED + 1, LAST) if pipeline.monitor(shifted, day(number))["retrain"]), None
    )
    assert alarm is not None, "no alarm"
    features = shifted.features.model_copy(update={"held_out_days": 1, "fit_days": "auto"})
    decided = train(shifted.model_copy(update={"features": features}), day(alarm))
    new = served(shifted) if decided["promoted"] else old
    before = list(rewards(quiet, {"old": old}, alarm))
    after = list(rewards(shifted, {"old": old, "new": new}, alarm))
    found = {"alarm_day": float(alarm), "promoted": float(bool(decided["promoted"]))}
    for measure in ("", "_ndcg"):
        whole = float(np.mean([each[f"old{measure}"] for each in before]))
        lost, kept = (float(np.mean([each[f"{name}{measure}"] for each in after])) for name in ("old", "new"))
        found |= {f"without_shift{measure}": whole, f"old{measure}": lost, f"retrained{measure}": kept,
                  f"recovered{measure}": (kept - lost) / (whole - lost)}  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[7])
    chosen = parser.parse_args()
    rows = []
    for seed in chosen.seeds:
        with tempfile.TemporaryDirectory(prefix="recsys-shift-") as folder:
            found = recovered(Path(folder), chosen.scale, chosen.items, seed)
        print({name: round(value, 3) for name, value in found.items()}, flush=True)
        rows.append((seed, found))
    if chosen.scale == 1.0:
        about = __doc__.split("\n\n", 2)[2]
        head = (
            "| world | alarm on day | promoted | nDCG@10 without a shift, old, retrained | recovered | "
            "true preference without a shift, old, retrained | recovered |"
        )
        lines = [
            f"| {seed} | {f['alarm_day']:.0f} | {'yes' if f['promoted'] else 'no'} | {f['without_shift_ndcg']:.3f}, "
            f"{f['old_ndcg']:.3f}, {f['retrained_ndcg']:.3f} | {f['recovered_ndcg']:.0%} | {f['without_shift']:.2f}, "
            f"{f['old']:.2f}, {f['retrained']:.2f} | {f['recovered']:.0%} |"
            for seed, f in rows
        ]
        text = "\n".join(["# After a shift of tastes", "", about, head, f"{'|---' * 6}|", *lines])
        Path(__file__).with_name("SHIFT.md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
