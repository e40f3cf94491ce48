"""The model card: what a person should know before promoting a version."""

from collections.abc import Mapping
from pathlib import Path
from string import Template

from recsys.errors import ConfigError

_TEMPLATE = Path(__file__).parents[2] / "mlflow" / "model_card.md"


def model_card(facts: Mapping[str, object], metrics: Mapping[str, Mapping[str, float]], names: tuple[str, ...]) -> str:
    """Fill the template `mlflow/model_card.md` with facts and a table of the named metrics by model."""
    if not _TEMPLATE.exists():
        raise ConfigError(f"the model card template {_TEMPLATE.name} is missing from the folder mlflow/")
    head = ["| model | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    rows = [f"| {model} | " + " | ".join(f"{values[n]:.4f}" for n in names) + " |" for model, values in metrics.items()]
    template = Template(_TEMPLATE.read_text(encoding="utf-8"))
    return template.substitute({name: str(fact) for name, fact in facts.items()}, metrics="\n".join([*head, *rows]))


def held_out(info: Mapping[str, object], train_ends: str) -> str:
    """Say what a version was judged on, of a feature spec's `info` and the time at which train ends."""
    if info.get("time") != "unknown":
        return f"train ends at {train_ends}; validation and test are the days after it"
    return (
        "**time was unknown**: the events have no timestamps. Validation and test, on which the gates judged, are a "
        "random hold-out of each user's events; how well the model foretells later events was not measured"
    )


def busiest_users(info: Mapping[str, object]) -> str:
    """Say how many users did more than counts, and what share of all positive events theirs are."""
    n, share = info.get("n_capped_users", 0), info.get("capped_share", 0.0)
    if not n:
        return "nobody did more than counts"
    return (
        f"{n} did {share:.1%} of all positive events; of each, the {info['max_user_events']} most recent of train, "
        "validation and test count, the others are only known to be met"
    )
