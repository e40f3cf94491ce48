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
