"""A search for settings that any number of processes of one machine may join, and that outlives each of them.

Optuna keeps the study in one SQLite file. Whoever asks or tells holds the study's lock; whoever trains a trial holds
the trial's. The system drops a lock when its process ends, so a running trial without a lock is a killed one: it is
marked failed and its settings are queued again.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, cast

import optuna
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import DatabaseError

from recsys.config import TuningConfig
from recsys.errors import ConfigError, StorageError
from recsys.space import Domain
from recsys.storage import is_locked, locked

Value: TypeAlias = bool | int | float | str
State: TypeAlias = Literal["complete", "pruned", "failed", "running", "waiting"]

_FACTS, _SETTINGS, _CURRENT, _REASON, _RUN = "facts", "settings", "current", "reason", "run_id"
_STATES: dict[TrialState, State] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}
_WAIT_S = 60  # another process writes for milliseconds; a slow disk may need more


@dataclass(frozen=True)
class Trial:
    """One set of settings and what came of it; `reason` says why it failed, empty when its process was killed."""

    number: int
    state: State
    value: float | None
    settings: dict[str, Value]
    is_current: bool
    reason: str
    run_id: str

    @property
    def is_over(self) -> bool:
        """Tell whether it need not be tried again."""
        return self.state == "pruned" or self.is_measured

    @property
    def is_measured(self) -> bool:
        """Tell whether it is known what its settings are worth: their value, or that they do not train."""
        return self.state == "complete" or (self.state == "failed" and bool(self.reason))

    @property
    def tells(self) -> bool:
        """Tell whether its settings are measured or will be."""
        return self.is_measured or self.state in ("waiting", "running")


class Asked:
    """A trial under way: report each epoch, then end it; left without an end, it counts as killed."""

    def __init__(self, study: "Study", trial: optuna.Trial, settings: dict[str, Value]) -> None:
        self._study = study
        self._trial = trial
        self.settings = settings
        self.number = trial.number
        self.is_current = bool(trial.user_attrs.get(_CURRENT))

    def remember_run(self, run_id: str) -> None:
        """Keep the id of the MLflow run that records this trial."""
        self._trial.set_user_attr(_RUN, run_id)

    def is_hopeless(self, epoch: int, value: float) -> bool:
        """Report an epoch's validation value; tell whether to stop. The current settings are never stopped."""
        self._trial.report(value, epoch)
        return not self.is_current and self._trial.should_prune()

    def end(self, state: Literal["complete", "pruned", "failed"], value: float | None = None, reason: str = "") -> None:
        """End the trial; a failed one needs a reason, or it is tried again."""
        if reason:
            self._trial.set_user_attr(_REASON, reason)
        known = {name: each for each, name in _STATES.items()}
        self._study.tell(self._trial, value if state == "complete" else None, known[state])


class Study:
    """An open study; see `open_study`."""

    def __init__(self, folder: Path, study: optuna.Study, tuning: TuningConfig) -> None:
        self._folder = str(folder)
        self._study = study
        self._tuning = tuning

    @property
    def name(self) -> str:
        """The study's name."""
        return self._study.study_name

    @property
    def handle(self) -> optuna.Study:
        """What Optuna's own plots read."""
        return self._study

    def trials(self) -> list[Trial]:
        """Return every trial in the order of its number."""
        return [_trial_of(each) for each in self._study.get_trials(deepcopy=False)]

    def enqueue_current(self, current: Mapping[str, Value], space: Mapping[str, Domain]) -> None:
        """Queue the current settings unless they were tried; a value outside the space is kept, not searched."""
        with self._alone():
            if not any(trial.settings == dict(current) and trial.tells for trial in self.trials()):
                inside = {name: value for name, value in current.items() if space[name].holds(value)}
                self._study.enqueue_trial(inside, user_attrs={_CURRENT: True, _SETTINGS: dict(current)})

    def bury_killed(self) -> list[str]:
        """Mark trials whose process is gone as failed and queue their settings again; return their MLflow runs."""
        runs = []
        with self._alone():
            for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                if is_locked(self._folder, self._lock_of(trial.number)):
                    continue
                self._study.tell(trial.number, state=TrialState.FAIL)
                kept = {name: value for name, value in trial.user_attrs.items() if name in (_CURRENT, _SETTINGS)}
                self._study.enqueue_trial(trial.params, user_attrs=kept)
                runs.append(str(trial.user_attrs.get(_RUN, "")))
        return [run for run in runs if run]

    def n_open(self, n_trials: int) -> int:
        """Return how many trials are still to be started so that `n_trials` are over and nothing queued is left."""
        trials = self.trials()
        n_queued = sum(trial.state == "waiting" for trial in trials)
        return max(n_trials - sum(trial.is_over or trial.state == "running" for trial in trials), n_queued)

    @contextmanager
    def ask(self, space: Mapping[str, Domain], n_trials: int) -> Iterator[Asked | None]:
        """Start the next trial and hold its lock; None when `n_trials` are over or under way."""
        with ExitStack() as life:
            with self._alone():
                asked = self._next(space) if self.n_open(n_trials) else None
                if asked is not None:
                    life.enter_context(locked(self._folder, self._lock_of(asked.number)))
            yield asked

    def tell(self, trial: optuna.Trial, value: float | None, state: TrialState) -> None:
        """End a trial."""
        with self._alone():
            self._study.tell(trial, value, state)

    def _next(self, space: Mapping[str, Domain]) -> Asked:
        # A seed of its own for each trial: the order of trials, not of processes, decides what is drawn.
        n_started = sum(trial.state != "waiting" for trial in self.trials())
        seed = (self._tuning.seed + n_started) % 2**32
        self._study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=self._tuning.startup_trials)
        trial = self._study.ask()
        settings: dict[str, Value] = dict(trial.user_attrs.get(_SETTINGS, {}))
        is_current = bool(trial.user_attrs.get(_CURRENT))
        for name, domain in space.items():
            if not is_current or domain.holds(settings[name]):
                settings[name] = _suggest(trial, name, domain)
        trial.set_user_attr(_SETTINGS, settings)
        return Asked(self, trial, settings)

    def _lock_of(self, number: int) -> str:
        return f"{self.name}-{number}"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with locked(self._folder, self.name):
            yield


def open_study(folder: Path, name: str, facts: Mapping[str, str], tuning: TuningConfig) -> Study:
    """Open the study `name` in `folder`, or begin it.

    `facts` say what its values were measured with. Raises ConfigError when the study was begun with other facts,
    StorageError when its file is damaged.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with locked(str(folder), name):
            storage = optuna.storages.RDBStorage(
                f"sqlite:///{folder / name}.db", engine_kwargs={"connect_args": {"timeout": _WAIT_S}}
            )
            study = optuna.create_study(
                storage=storage, study_name=name, direction="maximize", load_if_exists=True, pruner=_pruner(tuning)
            )
            if _FACTS not in study.user_attrs:
                study.set_user_attr(_FACTS, dict(facts))
    except (DatabaseError, optuna.exceptions.StorageInternalError) as error:
        reason = str(error).splitlines()[0]
        raise StorageError(
            f"the study {folder / name}.db cannot be read: {reason}; move it away to begin anew"
        ) from error
    changed = [f"{fact} {study.user_attrs[_FACTS].get(fact)}, now {now}" for fact, now in facts.items()
               if study.user_attrs[_FACTS].get(fact) != now]  # fmt: skip
    if changed:
        raise ConfigError(
            f"the study {name} was begun with other {'; other '.join(changed)}: its values cannot be compared. Choose "
            "another tuning.study, or leave it empty to have one study for each data and space"
        )
    return Study(folder, study, tuning)


def _pruner(tuning: TuningConfig) -> optuna.pruners.BasePruner:
    match tuning.pruner:
        case "median":
            return optuna.pruners.MedianPruner(tuning.startup_trials, tuning.warmup_epochs)
        case "hyperband":
            return optuna.pruners.HyperbandPruner(min_resource=max(tuning.warmup_epochs, 1))
        case "none":
            return optuna.pruners.NopPruner()


def _suggest(trial: optuna.Trial, name: str, domain: Domain) -> Value:
    match domain.kind:
        case "float":
            return trial.suggest_float(name, domain.low, domain.high, log=domain.log)
        case "int":
            return trial.suggest_int(name, domain.low, domain.high, step=domain.step, log=domain.log)
        case "choice":
            return cast(
                "Value", trial.suggest_categorical(name, domain.values)
            )  # Optuna allows None, a Choice does not


def _trial_of(trial: FrozenTrial) -> Trial:
    state = _STATES[trial.state]
    attributes = trial.user_attrs
    return Trial(
        number=trial.number,
        state=state,
        value=trial.value if state == "complete" else None,
        settings=dict(attributes.get(_SETTINGS, {})),
        is_current=bool(attributes.get(_CURRENT)),
        reason=str(attributes.get(_REASON, "")),
        run_id=str(attributes.get(_RUN, "")),
    )
