"""When drift is worth a retraining."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date

from pydantic import JsonValue

from recsys.config import Config
from recsys.monitoring.drift import Signal


@dataclass(frozen=True)
class Decision:
    """Whether to retrain, and every reason for or against it in words."""

    retrain: bool
    reasons: list[str]
    cooldown_active: bool
    too_little_data: bool

    def to_json(self) -> dict[str, JsonValue]:
        """Return the decision as JSON."""
        return asdict(self)


def decide(config: Config, signals: Sequence[Signal], n_events: int, last_trained: date, as_of: date) -> Decision:
    """Retrain when enough measures fired, one of them about taste or quality, and the cooldown has passed.

    Views of one measure, over everybody and by segment, count once. A signal that is unknown neither fires nor counts
    as quiet: it is named among the reasons. Signals about data alone (hours, kinds, popularity) move with the season
    and the catalogue; retraining waits for evidence that recommendations suffer. With fewer than
    `monitoring.min_events` positive fresh events nothing is decided, whatever the signals say.
    """
    settings = config.monitoring
    if n_events < settings.min_events:
        reason = f"too little data: {n_events} fresh positive events, at least {settings.min_events} are needed"
        return Decision(False, [reason], cooldown_active=False, too_little_data=True)
    fired = [signal for signal in signals if signal.fired]
    reasons = [f"{signal.name} is {signal.value:.3f}, above its limit {signal.limit:g}" for signal in fired]
    unknown = [f"{signal.name} is unknown: {signal.unknown}" for signal in signals if signal.unknown]
    age_days = (as_of - last_trained).days
    cooldown = age_days < settings.cooldown_days
    n_fired, n_known = (
        len({signal.measure for signal in chosen})
        for chosen in (fired, [signal for signal in signals if not signal.unknown])
    )
    enough = n_fired >= settings.min_signals
    matters = any(signal.kind != "data" for signal in fired)
    if not enough:
        reasons.append(f"{n_fired} of {n_known} measures fired, at least {settings.min_signals} are needed")
    elif not matters:
        reasons.append("no signal about taste or quality fired")
    elif cooldown:
        reasons.append(f"the champion is {age_days} days old, younger than the cooldown of {settings.cooldown_days}")
    return Decision(enough and matters and not cooldown, reasons + unknown, cooldown, too_little_data=False)
