"""The model card: what a reader of MLflow's page learns before the numbers. The text is `mlflow/model_card.md`."""

from collections.abc import Mapping
from pathlib import Path
from string import Template

from recsys.config import Config
from recsys.errors import ConfigError

_TEMPLATE = Path(__file__).parents[2] / "mlflow" / "model_card.md"


def render_model_card(
    config: Config,
    facts: Mapping[str, str],
    metrics: Mapping[str, Mapping[str, float]],
    template: Path = _TEMPLATE,
) -> str:
    """Return the card as Markdown.

    `facts` fill the template's other names (`dataset`, `as_of`, `n_users`, `n_items`, `n_events`, `n_parameters`,
    `best_epoch`, `airflow`); what is not given reads "unknown". `metrics` maps models to metrics and becomes a table.
    Raises ConfigError when the template is missing.
    """
    try:
        text = Template(template.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the model card template {template}: {error}; run from a checkout") from error
    known = {
        "model": config.registered_model,
        "deployment": config.name,
        "main_metric": config.evaluation.main_metric,
        "dim": str(config.model.dim),
        "history_length": str(config.model.history_length),
        "user_columns": ", ".join(config.features.user_columns) or "none",
        "purpose": config.privacy.purpose,
        "min_recall": str(config.index.min_recall),
        "metrics_table": _table(config, metrics),
        **facts,
    }
    return text.substitute({name: known.get(name, "unknown") for name in text.get_identifiers()})


def _table(config: Config, metrics: Mapping[str, Mapping[str, float]]) -> str:
    k = config.evaluation.main_metric.rsplit("_", 1)[1]
    present = {name for values in metrics.values() for name in values}
    names = [name for metric in ("ndcg", "recall", "mrr", "coverage") if (name := f"{metric}_at_{k}") in present]
    rows = [["model", *names], ["---"] * (len(names) + 1)]
    rows += [[model, *(f"{values[n]:.4f}" if n in values else "" for n in names)] for model, values in metrics.items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
