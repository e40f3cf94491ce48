"""The blend: towers, linear evidence and the taste of newcomers in one sum, the same in evaluation and in serving."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from scipy.sparse import csr_array, load_npz, save_npz

from recsys.config import BlendConfig, OnboardingConfig
from recsys.errors import StorageError
from recsys.features import Dataset
from recsys.scoring.components import COMPONENTS, Component, Profiles, fit_components
from recsys.scoring.newcomers import NewcomerTaste
from recsys.scoring.taste import TastePrior
from recsys.storage import read_json, write_json

TOWER = "two_tower"
BLEND_FILE = "blend.json"
_TASTE_FILE = "taste.npz"


class Blend(BaseModel):
    """What was chosen on validation: a score is the sum over `weights` of weight x score / scale.

    `scales` are the mean standard deviations of each part's scores over the items a validation user could be
    recommended, so weights compare parts; a part that is not in `weights` is not used. `validation` maps each part
    alone and `hybrid` to nDCG@10 on `n_users` validation users. `ease_l2` and `recent_days` fit the components
    again on other days. `taste_weight` is the weight of what people of the same demographics turn to, in standard
    deviations of score, for users without a positive event; 0: their scores are the sum alone.
    """

    model_config = ConfigDict(frozen=True)
    weights: dict[str, float]
    scales: dict[str, float]
    validation: dict[str, float]
    n_users: int
    ease_l2: float
    recent_days: int
    settings: BlendConfig
    taste_weight: float = 0.0
    onboarding: OnboardingConfig = OnboardingConfig()

    @property
    def components(self) -> tuple[str, ...]:
        """The components that are used, beside the towers."""
        return tuple(name for name in COMPONENTS if name in self.weights)

    def coefficient(self, name: str) -> np.float32:
        """Return what a part's raw scores are multiplied by."""
        return np.float32(self.weights[name] / self.scales[name])


@dataclass(frozen=True)
class FittedBlend:
    """A blend with its components, and the taste of newcomers, fitted on one dataset."""

    blend: Blend
    components: Mapping[str, Component]
    taste: NewcomerTaste | None = None

    @classmethod
    def fit(cls, blend: Blend, dataset: Dataset, split: int) -> Self:
        """Fit what is in use on all events of the splits before `split`."""
        fitted = fit_components(
            dataset,
            split,
            blend.components,
            blend.settings,
            ease_l2=blend.ease_l2,
            recent_days=blend.recent_days,
        )
        if not blend.taste_weight:
            return cls(blend, fitted)
        return cls(blend, fitted, NewcomerTaste(TastePrior.fit(dataset, blend.onboarding, split), blend.taste_weight))

    @property
    def tower_coefficient(self) -> np.float32:
        """What the towers' dot products are multiplied by."""
        return self.blend.coefficient(TOWER)

    def evidence(self, profiles: Profiles) -> NDArray[np.float32]:
        """Return float32[n, n_items]: what is added to the towers' weighted scores."""
        total = np.zeros(profiles.items.shape, np.float32)
        for name, component in self.components.items():
            total += self.blend.coefficient(name) * profiles.scores(name, component)
        return total

    def save(self, folder: Path) -> None:
        """Write `blend.json` and an array file for each component."""
        write_json(str(folder / BLEND_FILE), self.blend.model_dump(mode="json"))
        for name, component in self.components.items():
            if isinstance(component, np.ndarray):
                np.save(folder / f"{name}.npy", component, allow_pickle=False)
            else:
                save_npz(folder / f"{name}.npz", component)
        if self.taste:
            self.taste.prior.save(folder / _TASTE_FILE)

    def mapped(self, ids: Sequence[str], others: Sequence[str]) -> Self:
        """Return the blend over another catalogue: `ids` name its own item rows, `others` those asked for.

        An item it does not know has no evidence.
        """
        rows = {item: row for row, item in enumerate(ids)}
        found = np.array([rows.get(item, -1) for item in others], np.int64)
        components = {name: _mapped(component, found) for name, component in self.components.items()}
        taste = self.taste and NewcomerTaste(self.taste.prior.mapped(found), self.taste.weight)
        return replace(self, components=components, taste=taste)

    @classmethod
    def load(cls, folder: Path, n_items: int) -> Self:
        """Read what `save` wrote; raise StorageError when a file is missing, damaged or of another catalogue."""
        blend = read_blend(folder)
        taste = NewcomerTaste(TastePrior.load(folder / _TASTE_FILE), blend.taste_weight) if blend.taste_weight else None
        return cls(blend, {name: _component(folder, name, n_items) for name in blend.components}, taste)


def read_blend(folder: Path) -> Blend:
    """Return the blend written into a folder; raise StorageError when there is none or it is damaged."""
    try:
        return Blend.model_validate(read_json(str(folder / BLEND_FILE)))
    except ValidationError as error:
        raise StorageError(
            f"{folder / BLEND_FILE} is no blend: {error.errors()[0]['msg']}; run the evaluation stage again"
        ) from error


def _component(folder: Path, name: str, n_items: int) -> Component:
    dense, sparse = folder / f"{name}.npy", folder / f"{name}.npz"
    try:
        component: Component = np.load(dense, mmap_mode="r") if dense.exists() else csr_array(load_npz(sparse))
    except (OSError, EOFError, ValueError, BadZipFile) as error:
        raise StorageError(f"cannot read the component {name}: {error}; register the version again") from error
    if set(component.shape) != {n_items}:
        raise StorageError(
            f"the component {name} must be of {n_items} items; got shape {component.shape}: register the version again"
        )
    return component


def _mapped(component: Component, found: NDArray[np.int64]) -> Component:
    """Return a component whose row and column i are its own `found[i]`, zeros where that is -1."""
    known = np.flatnonzero(found >= 0)
    if component.ndim == 1:
        vector = np.zeros(len(found), np.float32)
        vector[known] = np.asarray(component)[found[known]]
        return vector
    if isinstance(component, np.ndarray):
        whole = np.zeros((len(found), len(found)), np.float32)
        whole[np.ix_(known, known)] = component[np.ix_(found[known], found[known])]
        return whole
    ones = np.ones(known.size, np.float32)
    choose = csr_array((ones, (known, found[known])), shape=(len(found), component.shape[0]))
    return csr_array(choose @ component @ choose.T)
