"""The training stages: train, evaluate, refit, export the index. Each result carries what the next stage needs."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys.config import Config, ModelConfig
from recsys.pipeline.addresses import at_present
from recsys.pipeline.lineage import built_from, check_trained, open_features
from recsys.pipeline.tuned import with_tuned
from recsys.storage import digest_of, intact, join, local_path, publish, read_json, read_manifest, write_json

if TYPE_CHECKING:
    from recsys.features import Dataset

Json = dict[str, Any]  # Any: JSON, checked by the models that read it


@at_present
def train(
    config: Config, features: str, dataset: str, run_name: str = "training", tags: Mapping[str, str] | None = None
) -> Json:
    """Train the towers that are judged and log the run to MLflow; equal input is not trained again.

    With `model.warm_start` the towers the champion was judged by are gone on from: those that serve have seen the days
    that measure this training. Settings adopted by a study count unless the configuration writes its own; see
    `with_tuned`. Raises TrainingError when training diverges, RegistryError when MLflow does not answer: once trained,
    a retry only logs.
    """
    from recsys.model import ExportedTowers
    from recsys.registry.runs import log_training, run_url, tracked_run

    config, origins = with_tuned(config)
    arrays = open_features(features)
    champion = _champion(config)
    before = (champion.recipe_towers, champion.recipe_features) if champion else None
    run_key, towers = _trained(config, features, arrays, before)
    told = ExportedTowers.training(local_path(towers))
    counts = {"n_users": len(arrays.users.ids), "n_items": len(arrays.items.ids), "n_events": len(arrays.events.item)}
    summary = {name: value for name, value in told.items() if isinstance(value, int | float)}
    with tracked_run(config, run_key, run_name, tags or {}) as run_id:
        log_training(config, features, dataset, counts, _history(told), summary, origins)
        url = run_url(run_id)
    return {"run_key": run_key, "run_id": run_id, "run_url": url, "towers": towers, "features": features,
            "dataset": dataset, "model": config.model.model_dump(mode="json")}  # fmt: skip


@at_present
def refit(config: Config, trained: Json) -> Json:
    """Train on all days as the judged towers were trained, for as many epochs as validation chose: these will serve.

    Returns `towers` and `features` of the refit. With `model.warm_start` the champion's served towers are gone on from.
    """
    from recsys.features import build_features
    from recsys.model import ExportedTowers

    check_trained(trained)
    days = read_manifest(trained["features"]).info.get("fit_days", 0)
    features_config = config.features.model_copy(update={"fit_days": days})
    features = build_features(config.model_copy(update={"features": features_config}), trained["dataset"], whole=True)
    told = ExportedTowers.training(local_path(trained["towers"]))
    champion = _champion(config)
    before = (join(champion.bundle, "towers"), join(champion.bundle, "dataset")) if champion else None
    changes = {"epochs": told["best_epoch"], "task": told["task"]}
    config = config.model_copy(update={"model": ModelConfig.model_validate({**trained["model"], **changes})})
    key, towers = _trained(config, features, open_features(features), before)
    return {"towers": towers, "features": features, "run_key": key, "epochs": told["best_epoch"]}


def _trained(config: Config, features: str, arrays: "Dataset", before: tuple[str, str] | None) -> tuple[str, str]:
    """Return the key and the towers of a training, trained unless they are there whole."""
    from recsys.model import train as train_towers

    settings: Json = {"model": config.model.model_dump(mode="json"), "features": features.rsplit("/", 2)[-2:]}
    if before and config.model.warm_start:
        settings["champion"] = before[0].rsplit("/", 3)[-3:]
    run_key = digest_of(settings)
    base = join(config.storage, "models", run_key)
    if (towers := intact(base)) is None:
        info = {"run_key": run_key, **built_from(features=features)}
        predecessor = _predecessor(*before) if before and config.model.warm_start else None
        with publish(base, info) as publication:
            train_towers(config, arrays, publication.path, print_epoch, predecessor)
        towers = publication.uri
    return run_key, towers


def _champion(config: Config) -> Any:  # Any: Champion, imported where it is needed
    from recsys.serving import read_champion

    return read_champion(config.storage)


def _predecessor(towers: str, features: str) -> "tuple[Path, Dataset]":
    from recsys.features import load_dataset

    return local_path(towers), load_dataset(features)


@at_present
def evaluate(config: Config, trained: Json) -> Json:
    """Compare the model with its baselines on the test days; log metrics, plots and the model card.

    With `blend.enabled` the hybrid is judged, its weights chosen on validation and stored beside the report, with a
    sample of the judged lists that serving is held to. Raises RecsysError when nobody can be measured or the scores are
    constant or not finite.
    """
    from recsys.evaluation import choose_blend
    from recsys.evaluation import evaluate as measure
    from recsys.model import ExportedTowers
    from recsys.scoring import BLEND_FILE

    check_trained(trained)
    base = join(config.storage, "evaluations", _key(trained, _judged(config)))
    arrays = open_features(trained["features"])
    folder = local_path(trained["towers"])
    towers = ExportedTowers.load(folder)
    blend = choose_blend(config, arrays, towers) if config.blend.enabled else None
    report = measure(config, arrays, towers, blend=blend)
    info = {"run_key": trained["run_key"], **built_from(towers=trained["towers"], features=trained["features"])}
    with publish(base, info) as publication:
        write_json(str(publication.path / "evaluation.json"), report.to_json())
        np.savez(publication.path / "per_user.npz", allow_pickle=False, **report.per_user)
        np.savez(publication.path / "slices.npz", allow_pickle=False, **report.user_slices)
        report.sample.save(publication.path)
        if blend:
            write_json(str(publication.path / BLEND_FILE), blend.model_dump(mode="json"))
    _log_evaluation(config, trained, arrays, towers, report, blend)
    main = config.evaluation.main_metric
    return {
        "evaluation": publication.uri,
        "metrics": {name: values[main] for name, values in report.metrics.items()},
        "main_metric": main,
    }


@at_present
def export_index(config: Config, refitted: Json) -> Json:
    """Build the Annoy index beside the one in use; raises GateError when it does not follow exact search."""
    from recsys.index import export_index as export
    from recsys.model import ExportedTowers
    from recsys.serving import sample_queries

    check_trained(refitted)
    arrays = open_features(refitted["features"])
    towers = ExportedTowers.load(local_path(refitted["towers"]))
    queries = sample_queries(arrays, towers, config.index.n_queries)
    ks = served_depths(config, len(arrays.items.ids))
    info = built_from(towers=refitted["towers"], features=refitted["features"])
    settings = {"index": config.index.model_dump(mode="json"), "ks": list(ks)}
    with publish(join(config.storage, "indexes", _key(refitted, settings)), info) as publication:
        about = export(config.index, arrays.items.ids, towers.item_vectors, queries, publication.path, ks)
    return {"index": publication.uri, "recall": about.recall, "search_k": about.search_k}


def served_depths(config: Config, n_items: int) -> tuple[int, ...]:
    """Return the numbers of items that serving asks the index for, at which its recall is gated."""
    asked = [config.index.recall_k]
    if config.blend.enabled and n_items > config.blend.full_max_items:
        asked.append(config.blend.n_retrieved + config.index.recall_k)
    return tuple(dict.fromkeys(min(k, n_items) for k in asked))


def _judged(config: Config) -> Json:
    return {"evaluation": config.evaluation.model_dump(mode="json"), "blend": config.blend.model_dump(mode="json")}


def _log_evaluation(config: Config, trained: Json, arrays: Any, towers: Any, report: Any, blend: Any) -> None:
    from recsys import evaluation as plots
    from recsys.registry import busiest_users, held_out, model_card
    from recsys.registry.runs import log_evaluation, resumed_run

    told = towers.training(local_path(trained["towers"]))
    first = arrays.items.category_names.list.get(0, null_on_oob=True).fill_null("").to_list()
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
