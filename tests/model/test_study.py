"""A study asked and told by several processes, killed and taken up again; trials are faked, the file is real."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from recsys.config import TuningConfig
from recsys.errors import ConfigError, StorageError
from recsys.model.study import Study, Trial, open_study
from recsys.space import Choice, Domain, FloatRange, IntRange

SPACE: dict[str, Domain] = {
    "learning_rate": FloatRange(low=1e-4, high=1e-2, log=True),
    "epochs": IntRange(low=2, high=9),
    "dim": Choice(values=(32, 64)),
}
CURRENT = {"learning_rate": 1e-3, "epochs": 4, "dim": 64}
FACTS = {"data": "d1", "space": "s1"}
TUNING = TuningConfig(startup_trials=3, warmup_epochs=0)
WORKER = """
import sys, time
from pathlib import Path
from tests.model.test_study import SPACE, opened
study = opened(Path(sys.argv[1]))
while True:
    with study.ask(SPACE, int(sys.argv[2])) as asked:
        if asked is None:
            break
        print(asked.number, flush=True)
        time.sleep(float(sys.argv[3]))
        asked.is_hopeless(1, asked.settings["learning_rate"])
        asked.end("complete", asked.settings["learning_rate"])
"""


def opened(folder: Path, **changes: object) -> Study:
    return open_study(folder, "search", FACTS, TUNING.model_copy(update=changes))


def fill(study: Study, n_trials: int, worth: Callable[[dict[str, object]], float] = lambda _: 0.5) -> list[Trial]:
    while study.n_open(n_trials):
        with study.ask(SPACE, n_trials) as asked:
            assert asked is not None
            asked.end("complete", worth(dict(asked.settings)))
    return study.trials()


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a process that runs trials until the study has `n_trials`; none outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def begin(n_trials: int, seconds: float) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", WORKER, str(tmp_path), str(n_trials), str(seconds)]
        root = Path(__file__).parents[2]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root)
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def test_the_current_settings_are_the_first_trial_and_are_queued_once(tmp_path: Path) -> None:
    study = opened(tmp_path)
    study.enqueue_current(CURRENT, SPACE)
    study.enqueue_current(CURRENT, SPACE)
    first, second = fill(study, 2)
    assert (first.settings, first.is_current) == (CURRENT, True)
    assert not second.is_current and second.settings != CURRENT
    study.enqueue_current(second.settings, SPACE)  # adopted since: known already
    assert study.n_open(2) == 0


def test_a_current_value_outside_the_space_is_tried_as_it_is(tmp_path: Path) -> None:
    study = opened(tmp_path)
    odd = {"learning_rate": 0.5, "epochs": 4, "dim": 48}
    study.enqueue_current(odd, SPACE)
    first, second = fill(study, 2)
    assert first.settings == odd
    assert second.settings["dim"] in (32, 64)


def test_current_settings_nobody_tried_are_measured_even_when_the_study_is_full(tmp_path: Path) -> None:
    study = opened(tmp_path)
    fill(study, 2)
    study.enqueue_current(CURRENT, SPACE)
    assert study.n_open(2) == 1
    assert fill(study, 2)[-1].settings == CURRENT


def test_the_same_seed_asks_the_same_whether_in_one_go_or_resumed(tmp_path: Path) -> None:
    def worth(settings: dict[str, object]) -> float:
        return float(str(settings["learning_rate"]))

    whole = fill(opened(tmp_path / "a"), 8, worth)
    fill(opened(tmp_path / "b"), 5, worth)
    resumed = fill(opened(tmp_path / "b"), 8, worth)
    assert [trial.settings for trial in resumed] == [trial.settings for trial in whole]
    assert len({json.dumps(trial.settings) for trial in whole}) == 8
    other = fill(opened(tmp_path / "c", seed=18), 8, worth)
    assert [trial.settings for trial in other] != [trial.settings for trial in whole]


@pytest.mark.slow
def test_two_processes_share_a_study_without_repeating_or_losing_a_trial(tmp_path: Path, start: Start) -> None:
    opened(tmp_path).enqueue_current(CURRENT, SPACE)
    numbers: list[str] = []
    for process in [start(8, 0.3), start(8, 0.3)]:
        out, err = process.communicate(timeout=100)
        assert process.returncode == 0, err
        assert out, "this process ran no trial"
        numbers += out.split()
    assert sorted(map(int, numbers)) == list(range(8))
    trials = opened(tmp_path).trials()
    assert [trial.state for trial in trials] == ["complete"] * 8
    assert len({json.dumps(trial.settings, sort_keys=True) for trial in trials}) == 8


@pytest.mark.slow
def test_a_killed_trial_is_failed_and_its_settings_are_tried_again(tmp_path: Path, start: Start) -> None:
    study = opened(tmp_path)
    study.enqueue_current(CURRENT, SPACE)
    process = start(3, 0.0)
    process.communicate(timeout=60)
    process = start(4, 60.0)
    assert process.stdout is not None
    assert process.stdout.readline() == "3\n"
    assert study.bury_killed() == []  # it runs
    assert study.n_open(4) == 0
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert study.bury_killed() == []  # it had no MLflow run
    assert study.n_open(4) == 1
    fill(study, 4)
    trials = study.trials()
    assert [trial.state for trial in trials] == ["complete", "complete", "complete", "failed", "complete"]
    assert trials[4].settings == trials[3].settings
    assert trials[3].reason == ""


@pytest.mark.slow
def test_a_process_killed_in_its_first_trial_leaves_the_current_settings_queued(tmp_path: Path, start: Start) -> None:
    study = opened(tmp_path)
    study.enqueue_current(CURRENT, SPACE)
    process = start(1, 60.0)
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.wait()
    study.bury_killed()
    study.enqueue_current(CURRENT, SPACE)
    assert [(trial.state, trial.is_current, trial.settings) for trial in study.trials()] == [
        ("failed", True, CURRENT),
        ("waiting", True, CURRENT),
    ]


def test_a_trial_left_by_an_error_is_tried_again(tmp_path: Path) -> None:
    study = opened(tmp_path)
    with pytest.raises(OSError, match="disk"), study.ask(SPACE, 1) as asked:
        assert asked is not None
        asked.remember_run("run-1")
        raise OSError("disk")
    assert study.bury_killed() == ["run-1"]
    assert fill(study, 1)[1].settings == study.trials()[0].settings


def test_a_hopeless_trial_is_stopped_but_never_the_current_settings(tmp_path: Path) -> None:
    study = opened(tmp_path, startup_trials=1)
    with study.ask(SPACE, 9) as asked:
        assert asked is not None and not asked.is_hopeless(1, 0.5) and not asked.is_hopeless(2, 0.6)
        asked.end("complete", 0.6)
    with study.ask(SPACE, 9) as asked:
        assert asked is not None and asked.is_hopeless(1, 0.1)
        asked.end("pruned")
    study.enqueue_current(CURRENT, SPACE)
    with study.ask(SPACE, 9) as asked:
        assert asked is not None and asked.is_current and not asked.is_hopeless(1, 0.1)
        asked.end("complete", 0.1)
    assert [trial.state for trial in study.trials()] == ["complete", "pruned", "complete"]


def test_a_study_of_other_data_is_refused(tmp_path: Path) -> None:
    opened(tmp_path)
    with pytest.raises(ConfigError, match="begun with other data d1, now d2.*another tuning.study"):
        open_study(tmp_path, "search", {**FACTS, "data": "d2"}, TUNING)


def test_a_damaged_file_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "search.db").write_bytes(b"no database" * 100)
    with pytest.raises(StorageError, match="cannot be read.*move it away"):
        opened(tmp_path)


def test_asking_takes_little_time(tmp_path: Path) -> None:
    study = opened(tmp_path)
    began = time.monotonic()
    fill(study, 10)
    assert time.monotonic() - began < 30
