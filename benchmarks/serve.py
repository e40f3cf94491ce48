"""The online service under load, beside `recommend()` in a bare loop, on the same machine and in the same run.

    python benchmarks/serve.py                      # 100,000 items x 64, 200 requests/s; prints, writes SERVE.md
    python benchmarks/serve.py --items 20000 --seconds 5 --rate 100

A catalogue of random vectors in clusters and 20,000 users with 50 events each is made into a bundle whose query tower
averages histories, so that times are those of serving and not of a model; states lie in SQLite. `recsys serve` runs as
a process of its own; the load generator, beside it, sends requests at fixed times whatever the answers do (open loop),
so that waiting counts (no coordinated omission).
"""

import argparse
import asyncio
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import numpy as np
import polars as pl
import psutil
from numpy.typing import NDArray

from recsys.config import BlendConfig, Config, FeaturesConfig, IndexConfig, OnboardingConfig
from recsys.data import load_key
from recsys.data.privacy import pseudonym_of
from recsys.features import Dataset, frames_to_dataset
from recsys.index import export_index
from recsys.model import ExportedTowers
from recsys.registry import write_bundle
from recsys.schema import INTERACTIONS, ITEMS, PRIVATE_USERS
from recsys.scoring import TOWER, Blend, FittedBlend, TastePrior
from recsys.serving import Champion, open_recommender, write_champion
from recsys.stack.ports import free_port
from recsys.storage import publish
from recsys.users import Event, open_users

START = datetime(2026, 1, 1, tzinfo=UTC)
DIM, LENGTH, N_EVENTS, N_TAUGHT = 64, 50, 50, 2_000
Floats = NDArray[np.float64]


def catalogue(n_items: int) -> Dataset:
    """Return a small training set over a large catalogue."""
    generator = np.random.default_rng(1)
    events = [
        {"event_id": f"e{user}-{place}", "user_id": f"t{user}", "item_id": f"i{int(item):06d}", "event": "view",
         "timestamp": START + timedelta(minutes=int(generator.integers(0, 60 * 24 * 20)))}
        for user in range(N_TAUGHT) for place, item in enumerate(generator.integers(0, n_items, 5))
    ]  # fmt: skip
    items = [
        {"item_id": f"i{item:06d}", "title": f"Title {item}", "categories": [f"c{item % 100}"], "language": "en",
         "creator": f"m{item % 1000}", "published_at": START - timedelta(days=item % 400)}
        for item in range(n_items)
    ]  # fmt: skip
    users = [{"user_id": f"t{user}"} for user in range(N_TAUGHT)]
    features = FeaturesConfig(min_user_events=1_000, min_item_events=1, text_dim=2)
    return frames_to_dataset(
        features, _frame(events, INTERACTIONS), _frame(users, PRIVATE_USERS), _frame(items, ITEMS), whole=True
    )


def _frame(rows: list[dict[str, object]], schema: dict[str, pl.DataType]) -> pl.DataFrame:
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)


def write_towers(folder: Path, dataset: Dataset) -> None:
    """Write towers whose query is the mean of the history's vectors."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    folder.mkdir(parents=True)
    i32, f32 = TensorProto.INT32, TensorProto.FLOAT
    generator = np.random.default_rng(2)
    n_demo = dataset.users.demographics.shape[1]

    def value(name: str, kind: int, *shape: str | int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, list(shape))

    query = helper.make_graph(
        [helper.make_node("ReduceMean", ["history_vectors"], ["query"], axes=[1], keepdims=0)],
        "query",
        [value("history_vectors", f32, "B", LENGTH, DIM), value("history_kinds", i32, "B", LENGTH),
         value("history_ages", i32, "B", LENGTH), value("user", i32, "B"), value("demographics", i32, "B", n_demo),
         value("context", i32, "B", 3)],
        [value("query", f32, "B", DIM)],
    )  # fmt: skip
    table = numpy_helper.from_array(
        generator.normal(size=(len(dataset.spec.item_vocab) + 1, 2 * DIM)).astype("f4"), "t"
    )
    item = helper.make_graph(
        [helper.make_node("Gather", ["t", "id"], ["item"], axis=0)], "item",
        [value("id", i32, "N"), value("categories", i32, "N", dataset.items.categories.shape[1]),
         value("creator", i32, "N"), value("language", i32, "N"), value("text", f32, "N", dataset.items.text.shape[1]),
         value("numeric", f32, "N", dataset.items.numeric.shape[1])],
        [value("item", f32, "N", 2 * DIM)], [table],
    )  # fmt: skip
    for name, graph in (("query", query), ("item", item)):
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, folder / f"{name}.onnx")
    centres = generator.normal(size=(200, DIM))
    vectors = centres[generator.integers(0, 200, len(dataset.items.ids))]
    vectors = (vectors + 0.5 * generator.normal(size=vectors.shape)).astype(np.float32)
    for name in ("item_vectors", "history_vectors"):
        np.save(folder / f"{name}.npy", vectors)


def deployment(root: Path, n_items: int, n_users: int, port: int) -> tuple[Config, Path]:
    """Write bundle, index, champion and states; return the configuration and its file."""
    settings = (
        f'storage = "{root}"\n[privacy]\nconsent_missing = "allow"\n[service]\nport = {port}\ndeadline_ms = 2000\n'
    )
    path = root.parent / "config.toml"
    path.write_text(settings)
    config = Config.model_validate({"storage": str(root), "privacy": {"consent_missing": "allow"}})
    dataset = catalogue(n_items)
    write_towers(root / "towers", dataset)
    towers = ExportedTowers.load(root / "towers")
    weights = {TOWER: 1.0, "covisitation": 0.3, "popularity": 0.1}
    blend = Blend(weights=weights, scales=dict.fromkeys(weights, 1.0), validation={}, n_users=1, ease_l2=1.0,
                  recent_days=7, settings=BlendConfig(), onboarding=OnboardingConfig(), taste_weight=0.0)  # fmt: skip
    with publish(str(root / "bundles")) as bundle:
        fitted, prior = FittedBlend.fit(blend, dataset, 3), TastePrior.fit(dataset, OnboardingConfig())
        write_bundle(bundle.path, root / "towers", dataset, {"run_key": "b"}, fitted, prior)
    generator = np.random.default_rng(3)
    queries = towers.item_vectors[generator.integers(0, n_items, (200, 5))].mean(axis=1)
    with publish(str(root / "indexes")) as index:
        export_index(IndexConfig(), dataset.items.ids, towers.item_vectors, queries, index.path)
    where = {name: str(root / name) for name in ("dataset", "evaluation", "recipe_towers", "recipe_features")}
    write_champion(
        str(root),
        Champion(version="1", digest="b-i", bundle=bundle.uri, index=index.uri, run_id="r", run_key="b",
                 trained_until=START.isoformat(), **where),
    )  # fmt: skip
    store, key = open_users(config), load_key(config)
    now = START + timedelta(days=25)
    for first in range(0, n_users, 500):
        store.apply(
            [Event(f"s{user}-{place}", pseudonym_of(f"u{user}", key), f"i{int(item):06d}", "view", None,
                   now + timedelta(minutes=place))
             for user in range(first, min(first + 500, n_users))
             for place, item in enumerate(generator.integers(0, n_items, N_EVENTS))]
        )  # fmt: skip
    store.close()
    return config, path


class Served:
    """`recsys serve` as a process of its own."""

    def __init__(self, path: Path, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.port = port
        command = [sys.executable, "-m", "recsys.cli", "serve", "--config", str(path)]
        started = time.perf_counter()
        self._log = path.with_name("service.log")
        with self._log.open("wb") as stream:
            self.process = subprocess.Popen(command, stdout=stream, stderr=stream, start_new_session=True)
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as answer:
                    if answer.status == 200:
                        break
            except OSError:
                time.sleep(0.02)
            if self.process.poll() is not None or time.perf_counter() - started > 120:
                if self.process.poll() is None:
                    os.killpg(self.process.pid, signal.SIGKILL)
                raise SystemExit(f"the service did not come up:\n{self._log.read_text()[-2000:]}")
        self.ready_s = time.perf_counter() - started

    def memory_mib(self) -> float:
        return psutil.Process(self.process.pid).memory_info().rss / 2**20

    def stop(self) -> None:
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(60)


async def _post(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, body: bytes
) -> tuple[int, bytes]:
    lines = (
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    )
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    status = int((await reader.readline()).split()[1])
    length = 0
    while (line := await reader.readline()) != b"\r\n":
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    return status, await reader.readexactly(length)


async def open_loop(port: int, path: str, bodies: list[bytes], rate: float, seconds: float) -> tuple[Floats, int]:
    """Send bodies at fixed times; return seconds from when each was due to its answer, and how many failed."""
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    took: list[float] = []
    failed = 0
    begin = time.perf_counter() + 0.2

    async def one(place: int) -> None:
        nonlocal failed
        due = begin + place / rate
        await asyncio.sleep(max(due - time.perf_counter(), 0))
        stream = idle.pop() if idle else await asyncio.open_connection("127.0.0.1", port)
        try:
            status, _ = await _post(*stream, path, bodies[place % len(bodies)])
            failed += status not in (200, 202)
            idle.append(stream)
        except (OSError, asyncio.IncompleteReadError, IndexError, ValueError):
            failed += 1
        took.append(time.perf_counter() - due)

    await asyncio.gather(*(one(place) for place in range(int(rate * seconds))))
    for _, writer in idle:
        writer.close()
    return np.array(took), failed


async def closed_loop(port: int, path: str, bodies: list[bytes], clients: int, seconds: float) -> float:
    """Return answers a second of so many clients that each ask again at once."""
    numbers, end, n = count(), time.perf_counter() + seconds, 0

    async def client() -> None:
        nonlocal n
        stream = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < end:
            await _post(*stream, path, bodies[next(numbers) % len(bodies)])
            n += 1
        stream[1].close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return n / seconds


def bare_loop(config: Config, root: Path, n_users: int, seconds: float) -> float:
    """Return lists a second of `recommend()` called in a loop, states from the same store."""
    champion = json.loads((root / "serving" / "champion.json").read_text())
    recommender = open_recommender(config, str(root / champion["bundle"]), str(root / champion["index"]))
    key, at = load_key(config), START + timedelta(days=26)
    names = [pseudonym_of(f"u{user}", key) for user in range(n_users)]
    recommender.recommend(names[0], 10, at=at)
    end, n = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        recommender.recommend(names[n * 7919 % n_users], 10, at=at)
        n += 1
    return n / seconds


def lists_of(n_users: int, n: int, **more: object) -> list[bytes]:
    at = (START + timedelta(days=26)).isoformat().replace("+00:00", "Z")
    return [json.dumps({"user_id": f"u{user * 7919 % n_users}", "k": 10, "context": {"time": at}, **more}).encode()
            for user in range(n)]  # fmt: skip


def events_of(n_users: int, n_items: int, n_batches: int, run: str) -> list[bytes]:
    at = (START + timedelta(days=27)).isoformat().replace("+00:00", "Z")
    return [
        json.dumps({"events": [
            {"event_id": f"{run}-{batch}-{place}", "user_id": f"u{(batch * 100 + place) * 31 % n_users}",
             "item_id": f"i{(batch * 7 + place * 13) % n_items:06d}", "event": "view", "timestamp": at}
            for place in range(100)]}).encode()
        for batch in range(n_batches)
    ]  # fmt: skip


def told(times: Floats) -> str:
    p50, p99 = np.percentile(times * 1000, [50, 99])
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    chosen = parser.parse_args()
    rows: list[str] = []

    def say(what: str, measured: str) -> None:
        rows.append(f"| {what} | {measured} |")
        print(rows[-1], flush=True)

    with tempfile.TemporaryDirectory(prefix="recsys-serve-") as temporary:
        root, port = Path(temporary) / "state", free_port(18_080)
        root.mkdir()
        config, path = deployment(root, chosen.items, chosen.users, port)
        bare = bare_loop(config, root, chosen.users, min(chosen.seconds, 10))
        say("`recommend()` in a bare loop", f"{bare:.0f} lists/s")
        served = Served(path, port)
        try:
            say("from start to ready, process then", f"{served.ready_s:.1f} s, {served.memory_mib():.0f} MiB")
            ask = "/v1/recommendations"
            asyncio.run(open_loop(port, ask, lists_of(chosen.users, 200), 50, 3))
            times, failed = asyncio.run(
                open_loop(port, ask, lists_of(chosen.users, 5_000), chosen.rate, chosen.seconds)
            )
            say(f"{chosen.rate:.0f} lists/s, open loop", f"{told(times)}, {failed} failed")
            narrow = lists_of(chosen.users, 5_000, filters={"categories": ["c7"]})
            times, failed = asyncio.run(open_loop(port, ask, narrow, chosen.rate, chosen.seconds / 2))
            say("the same with a filter that keeps 1 %", f"{told(times)}, {failed} failed")
            rate = asyncio.run(closed_loop(port, ask, lists_of(chosen.users, 5_000), 32, chosen.seconds / 2))
            say("sustained, 32 clients", f"{rate:.0f} lists/s, {rate / bare:.0%} of the bare loop")
            batches = events_of(chosen.users, chosen.items, 2_000, "a")
            rate = asyncio.run(closed_loop(port, "/v1/events", batches, 4, chosen.seconds / 2))
            say("durable events in batches of 100, 4 clients", f"{rate * 100:.0f} events/s")
            say("process at the end", f"{served.memory_mib():.0f} MiB")
        finally:
            served.stop()
    if chosen.items == 100_000:
        about = __doc__.split("\n\n", 2)[2]
        head = f"{chosen.items} items x {DIM}, {chosen.users} users of {N_EVENTS} events; {platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end."  # noqa: E501
        text = "\n".join(["# The service under load", "", about, head, "", "| what | measured |", "|---|---|", *rows])
        Path(__file__).with_name("SERVE.md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
