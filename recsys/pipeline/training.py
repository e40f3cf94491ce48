"""The training stages: train, evaluate, export the index. Each result carries what the next stage needs."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys.config import Config
from recsys.pipeline.tuned import with_tuned
from recsys.storage import current, digest_of, join, local_path, publish, read_json, verify, write_json

if TYPE_CHECKING:
    from recsys.features import Dataset

Json = dict[str, Any]  # Any: JSON, checked by the models that read it


def train(
    config: Config, features: str, dataset: str, run_name: str = "training", tags: Mapping[str, str] | None = None
) -> Json:
    """Train the towers and log the run to MLflow; towers trained before from equal input are not trained again.

    With `model.warm_start` the champion's towers are gone on from. Settings adopted by a study count unless the
    configuration writes its own; see `with_tuned`. Raises TrainingError when training diverges, RegistryError when
    MLflow does not answer: once trained, a retry only logs.
    """
    from recsys.features import load_dataset
    from recsys.model import ExportedTowers
    from recsys.model import train as train_towers
    from recsys.registry.runs import log_training, run_url, tracked_run

    config, origins = with_tuned(config)
    settings: Json = {"model": config.model.model_dump(mode="json"), "features": features.rsplit("/", 2)[-2:]}
    before = _champion_bundle(config) if config.model.warm_start else None
    if before:
        settings["champion"] = before.rsplit("/", 2)[-2:]
    run_key = digest_of(settings)
    base = join(config.storage, "models", run_key)
    arrays = load_dataset(features)
    if (towers := current(base)) is None:
        with publish(base, {"run_key": run_key}) as publication:
            train_towers(config, arrays, publication.path, print_epoch, _opened(before) if before else None)
        towers = publication.uri
    else:
        verify(towers)
    told = ExportedTowers.training(local_path(towers))
    counts = {"n_users": len(arrays.users.ids), "n_items": len(arrays.items.ids), "n_events": len(arrays.events.item)}
    summary = {name: value for name, value in told.items() if isinstance(value, int | float)}
    with tracked_run(config, run_key, run_name, tags or {}) as run_id:
        log_training(config, features, dataset, counts, _history(told), summary, origins)
        url = run_url(run_id)
    return {"run_key": run_key, "run_id": run_id, "run_url": url, "towers": towers, "features": features,
            "dataset": dataset}  # fmt: skip


def _champion_bundle(config: Config) -> str | None:
    from recsys.serving import read_champion

    champion = read_champion(config.storage)
    return champion.bundle if champion else None


def _opened(bundle: str) -> "tuple[Path, Dataset]":
    from recsys.registry import load_bundle

    return local_path(bundle) / "towers", load_bundle(bundle).dataset


def evaluate(config: Config, trained: Json) -> Json:
    """Compare the model with its baselines on the test days; log metrics, plots and the model card.

    With `blend.enabled` the hybrid is judged, its weights chosen on validation and stored beside the report. Raises
    RecsysError when nobody can be measured or the scores are constant or not finite.
    """
    from recsys.evaluation import choose_blend
    from recsys.evaluation import evaluate as measure
    from recsys.features import load_dataset
    from recsys.model import ExportedTowers
    from recsys.scoring import BLEND_FILE

    base = join(config.storage, "evaluations", _key(trained, _judged(config)))
    arrays = load_dataset(trained["features"])
    folder = local_path(trained["towers"])
    towers = ExportedTowers.load(folder)
    blend = choose_blend(config, arrays, towers) if config.blend.enabled else None
    report = measure(config, arrays, towers, blend=blend)
    with publish(base, {"run_key": trained["run_key"]}) as publication:
        write_json(str(publication.path / "evaluation.json"), report.to_json())
        np.savez(publication.path / "per_user.npz", allow_pickle=False, **report.per_user,
                 cold=report.user_slices["cold_users"])  # fmt: skip
        if blend:
            write_json(str(publication.path / BLEND_FILE), blend.model_dump(mode="json"))
    _log_evaluation(config, trained, arrays, towers, report, blend)
    main = config.evaluation.main_metric
    return {
        "evaluation": publication.uri,
        "metrics": {name: values[main] for name, values in report.metrics.items()},
        "main_metric": main,
    }


def export_index(config: Config, trained: Json) -> Json:
    """Build the Annoy index beside the one in use; raises GateError when it does not follow exact search."""
    from recsys.evaluation import measured_users
    from recsys.features import load_dataset
    from recsys.index import export_index as export
    from recsys.model import ExportedTowers

    arrays = load_dataset(trained["features"])
    towers = ExportedTowers.load(local_path(trained["towers"]))
    users = measured_users(config, arrays, 2)
    queries = towers.query_vectors(
        arrays, towers.history_vectors, users.user_rows, users.history_end, users.query_time, users.device
    )
    with publish(join(config.storage, "indexes", _key(trained, config.index.model_dump()))) as publication:
        about = export(config.index, arrays.items.ids, towers.item_vectors, queries, publication.path)
    return {"index": publication.uri, "recall": about.recall, "search_k": about.search_k}


def _judged(config: Config) -> Json:
    return {"evaluation": config.evaluation.model_dump(mode="json"), "blend": config.blend.model_dump(mode="json")}


def _log_evaluation(config: Config, trained: Json, arrays: Any, towers: Any, report: Any, blend: Any) -> None:
    from recsys import evaluation as plots
    from recsys.registry import busiest_users, held_out, model_card
    from recsys.registry.runs import log_evaluation, resumed_run

    told = towers.training(local_path(trained["towers"]))
    first = [names[0] if names else "" for names in arrays.items.category_names]
    figures = {
        "learning_curve": plots.learning_curve(_history(told)),
        "metrics_against_baselines": plots.metrics_against_baselines(report),
        "recall_by_popularity_decile": plots.recall_by_popularity_decile(report),
        "embedding_projection": plots.embedding_projection(towers.item_vectors, first),
    }
    facts = {
        "name": config.registered_model,
        "n_events": len(arrays.events.item),
        "n_users": len(arrays.users.ids),
        "n_items": len(arrays.items.ids),
        "dataset": trained["dataset"].rsplit("/", 1)[-1],
        "held_out": held_out(arrays.spec.info, arrays.spec.validation_start),
        "busiest": busiest_users(arrays.spec.info),
        "seed": config.model.seed,
        "best_epoch": told["best_epoch"],
        "blend": _weights(blend),
    }
    k = config.evaluation.main_metric.rsplit("_", 1)[1]
    card = model_card(facts, report.metrics, (f"recall_at_{k}", f"ndcg_at_{k}", f"mrr_at_{k}"))
    with resumed_run(config, trained["run_id"]):
        log_evaluation(report.metrics, figures, card, _blend_numbers(blend))


def _weights(blend: Any) -> str:
    if blend is None:
        return "the towers alone"
    return ", ".join(f"{name} {weight:.3g}" for name, weight in blend.weights.items())


def _blend_numbers(blend: Any) -> dict[str, float]:
    if blend is None:
        return {}
    weights = {f"weight/{name}": weight for name, weight in blend.weights.items()}
    return weights | {f"validation/{name}/ndcg_at_10": value for name, value in blend.validation.items()}


def _key(trained: Json, settings: Json) -> str:
    return digest_of({"run_key": trained["run_key"], "settings": settings})


def _history(told: Mapping[str, Any]) -> list[dict[str, float]]:  # Any: training.json
    return [{"epoch": float(number), **record} for number, record in enumerate(told["history"], 1)]


def print_epoch(epoch: int, record: Mapping[str, float]) -> None:
    """Print one line for one epoch."""
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in record.items())
    print(f"epoch {epoch}: {numbers}", flush=True)


def read_evaluation(uri: str) -> Json:
    """Return a published evaluation."""
    report: Json = read_json(str(Path(local_path(uri)) / "evaluation.json"))
    return report
