"""What the towers must know about the data: how large each vocabulary and array is, never a row of it."""

from dataclasses import dataclass
from typing import Self

from recsys.config import ModelConfig
from recsys.features import Dataset, ItemArrays
from recsys.schema import EVENT_KINDS

N_KINDS = len(EVENT_KINDS) + 1  # 0 is padding
N_HOURS = 24 + 1  # 0 is unknown
N_WEEKDAYS = 7 + 1


@dataclass(frozen=True)
class Sizes:
    """Sizes of vocabularies (index 0, padding or unknown, included) and of the towers' other inputs."""

    dim: int
    history_length: int
    n_item_ids: int
    n_user_ids: int
    n_categories: int
    n_creators: int
    n_languages: int
    n_demographics: tuple[int, ...]
    n_devices: int
    max_categories: int
    text_dim: int
    numeric_dim: int
    has_content: bool  # whether anything but its id tells an item from another

    @classmethod
    def of(cls, config: ModelConfig, dataset: Dataset) -> Self:
        """Read the sizes off a dataset's spec and arrays."""
        spec, items = dataset.spec, dataset.items
        return cls(
            dim=config.width(len(items.ids)),
            history_length=config.history_length,
            n_item_ids=len(spec.item_vocab) + 1,
            n_user_ids=len(spec.user_vocab) + 1,
            n_categories=len(spec.category_vocab) + 1,
            n_creators=len(spec.creator_vocab) + 1,
            n_languages=len(spec.language_vocab) + 1,
            n_demographics=tuple(len(vocab) + 1 for vocab in spec.demographic_vocabs.values()),
            n_devices=len(spec.device_vocab) + 1,
            max_categories=items.categories.shape[1],
            text_dim=items.text.shape[1],
            numeric_dim=items.numeric.shape[1],
            has_content=_tells_apart(items),
        )


def _tells_apart(items: ItemArrays) -> bool:
    content = items.categories, items.creator, items.language, items.text, items.numeric
    return any(bool((array != array[:1]).any()) for array in content)
