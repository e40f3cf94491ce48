"""Killed, repeated, concurrent and cut-off stages: a rerun ends as if nothing had happened."""

import resource
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from recsys import pipeline
from recsys.config import Config, TuningConfig
from recsys.errors import RegistryError, StorageError
from recsys.registry.runs import connect
from recsys.registry.versions import version_with
from recsys.serving import Champion, read_champion, write_champion
from recsys.storage import current, join, verify
from tests.pipeline.conftest import DEMO, World, challenge, configured

pytestmark = pytest.mark.slow

Start = Callable[[Config, str], "subprocess.Popen[str]"]


def kill_when_writing(process: "subprocess.Popen[str]", base: Path) -> None:
    """Kill the process as soon as a folder is being written below `base`."""
    until = time.monotonic() + 120
    while not list(base.glob("**/.writing-*")):
        assert process.poll() is None, f"ended before it wrote: {process.communicate()[1][-2000:]}"
        assert time.monotonic() < until
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def snapshots(config: Config) -> dict[str, str]:
    """Return the digest of each partition's snapshot after hashing its files again."""
    folders = sorted(Path(config.storage, "snapshots").iterdir())
    return {folder.name: verify(current(str(folder)) or "").digest for folder in folders}


def test_a_storage_root_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StorageError, match=r"cannot write .*state.*free space or fix its permissions"):
        pipeline.ingest(configured(tmp_path / "file" / "state", {**DEMO, "days": 1}))


def test_a_full_disk_is_a_storage_error_and_publishes_nothing(tmp_path: Path) -> None:
    config = configured(tmp_path / "state", {**DEMO, "days": 1})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
        with pytest.raises(StorageError, match=r"cannot write .*state.*free space"):
            pipeline.ingest(config)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert current(join(config.storage, "staging", "2026-01-01")) is None
    assert len(pipeline.ingest(config)["partitions"]) == 1


def test_an_ingest_killed_half_way_runs_again_to_the_same_partitions(
    world: World, tmp_path: Path, start_process: Start
) -> None:
    config = world.config.model_copy(update={"storage": str(tmp_path / "state")})
    kill_when_writing(start_process(config, "pipeline.ingest(config)"), tmp_path / "state")
    again = pipeline.ingest(config)["partitions"]
    digests = [partition["staged"].rsplit("/", 1)[1] for partition in again]
    assert digests == [partition["staged"].rsplit("/", 1)[1] for partition in world.staged["partitions"]]


def test_a_training_killed_half_way_leaves_the_champion_and_runs_again(world: World, start_process: Start) -> None:
    champion = Path(world.config.storage, "serving", "champion.json").read_bytes()
    config = world.config.model_copy(update={"model": world.config.model.model_copy(update={"seed": 77, "epochs": 1})})
    features, dataset = world.features["features"], world.chosen["dataset"]
    process = start_process(config, f"pipeline.train(config, {features!r}, {dataset!r})")
    kill_when_writing(process, Path(config.storage, "models"))
    assert Path(config.storage, "serving", "champion.json").read_bytes() == champion
    trained = pipeline.train(config, features, dataset)
    verify(trained["towers"])
    assert Path(config.storage, "serving", "champion.json").read_bytes() == champion


def test_the_same_run_twice_trains_and_registers_once(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    config = world.config
    before = snapshots(config)
    n_runs = len(connect(config).search_runs(["1"]))
    assert pipeline.ingest(config) == world.staged
    part = world.staged["partitions"][:3]
    assert pipeline.validate(config, part)["snapshots"] == world.validated["snapshots"][:3]
    assert snapshots(config) == before
    assert pipeline.select(config) == world.chosen
    assert pipeline.build_features(config, world.chosen["dataset"]) == world.features
    assert pipeline.train(config, world.features["features"], world.chosen["dataset"]) == world.trained
    assert "epoch" not in capsys.readouterr().out
    assert pipeline.evaluate(config, world.trained) == world.evaluated
    assert pipeline.refit(config, world.trained) == world.refitted
    assert pipeline.export_index(config, world.refitted) == world.index
    again = pipeline.register(config, world.trained, world.evaluated, world.refitted, world.index)
    assert again == world.registered
    assert pipeline.promote(config, again)["version"] == world.registered["version"]
    assert len(connect(config).search_runs(["1"])) == n_runs


def test_what_a_stage_published_is_made_again_when_it_is_damaged(world: World) -> None:
    config, features, dataset = world.config, world.features["features"], world.chosen["dataset"]

    def spoil(uri: str) -> None:
        largest = max((path for path in Path(uri).rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
        largest.write_bytes(largest.read_bytes()[:-1])

    for uri, stage in (
        (features, lambda: pipeline.build_features(config, dataset)["features"]),
        (world.evaluated["evaluation"], lambda: pipeline.evaluate(config, world.trained)["evaluation"]),
        (world.index["index"], lambda: pipeline.export_index(config, world.refitted)["index"]),
        (world.registered["bundle"],
         lambda: pipeline.register(config, world.trained, world.evaluated, world.refitted, world.index)["bundle"]),
    ):  # fmt: skip
        spoil(uri)
        assert stage() == uri
        verify(uri)
    small = config.model_copy(update={"model": config.model.model_copy(update={"seed": 77, "epochs": 1})})
    towers = pipeline.train(small, features, dataset)["towers"]
    spoil(towers)
    verify(pipeline.train(small, features, dataset)["towers"])


def test_two_runs_at_once_publish_what_one_would(world: World, tmp_path: Path, start_process: Start) -> None:
    config = world.config.model_copy(update={"storage": str(tmp_path / "state")})
    code = "pipeline.validate(config, pipeline.ingest(config, '2026-01-01', '2026-01-04')['partitions'])"
    for process in [start_process(config, code) for _ in range(2)]:
        _, errors = process.communicate(timeout=200)
        assert process.returncode == 0, errors[-2000:]
    expected = snapshots(world.config)
    assert snapshots(config) == {name: expected[name] for name in ("2026-01-01", "2026-01-02", "2026-01-03")}


def test_without_mlflow_training_is_kept_and_a_retry_only_logs(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    champion = Path(world.config.storage, "serving", "champion.json").read_bytes()
    config = world.config.model_copy(
        update={
            "model": world.config.model.model_copy(update={"seed": 78, "epochs": 1}),
            "tuning": TuningConfig(use_tuned=False),  # or the registry would be asked before the training
        }
    )
    features, dataset = world.features["features"], world.chosen["dataset"]
    client = connect(config)
    before = len(client.search_runs(["1"])), len(client.search_model_versions())
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{closed_port()}")
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        with pytest.raises(RegistryError, match="did not answer"):
            pipeline.train(config, features, dataset)
    assert "epoch 1" in capsys.readouterr().out
    client = connect(config)
    assert (len(client.search_runs(["1"])), len(client.search_model_versions())) == before

    trained = pipeline.train(config, features, dataset)
    assert "epoch" not in capsys.readouterr().out
    evaluated, refitted = pipeline.evaluate(config, trained), pipeline.refit(config, trained)
    handed_over = trained, evaluated, refitted, pipeline.export_index(config, refitted)
    registered = pipeline.register(config, *handed_over)
    assert len(client.search_runs(["1"])) == before[0] + 1
    assert len(client.search_model_versions()) == before[1] + 1
    assert pipeline.register(config, *handed_over)["version"] == registered["version"]
    assert Path(world.config.storage, "serving", "champion.json").read_bytes() == champion


def test_a_promotion_killed_before_the_pointer_moves_serves_the_old_champion_and_runs_again(
    world: World, start_process: Start
) -> None:
    pointer = Path(world.config.storage, "serving", "champion.json")
    before = pointer.read_bytes()
    lenient = world.config.promotion.model_copy(update={"margin": -1.0, "min_users": 2, "min_slice_users": 10_000})
    model = world.config.model.model_copy(update={"seed": 79})
    config = world.config.model_copy(update={"model": model, "promotion": lenient})
    registered = challenge(config, world.features["features"], world.chosen["dataset"])
    killed = start_process(
        config,
        "import os, signal, recsys.serving\n"
        "recsys.serving.write_champion = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"pipeline.promote(config, {registered!r})",
    )
    _, errors = killed.communicate(timeout=250)
    assert killed.returncode == -signal.SIGKILL, errors[-2000:]
    assert pointer.read_bytes() == before

    assert pipeline.promote(config, registered)["promoted"]
    champion = read_champion(config.storage)
    alias = version_with(config, "champion")
    assert champion is not None and alias is not None
    assert champion.version == str(alias.version) == registered["version"]
    assert champion.previous == world.registered["version"]
    pipeline.rollback(config)
    restored = read_champion(config.storage)
    assert restored is not None and restored.version == world.registered["version"]


def test_a_full_disk_never_leaves_half_a_champion(world: World, tmp_path: Path) -> None:
    served = read_champion(world.config.storage)
    assert served is not None
    old = Champion.of_record(str(tmp_path), served.to_record(world.config.storage))
    write_champion(str(tmp_path), old)
    pointer = tmp_path / "serving" / "champion.json"
    before = pointer.read_bytes()
    longer = old.model_copy(update={"evaluation": "x" * 20_000})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
        with pytest.raises(StorageError, match="cannot write"):
            write_champion(str(tmp_path), longer)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert pointer.read_bytes() == before
    assert [path.name for path in pointer.parent.iterdir()] == ["champion.json"]
