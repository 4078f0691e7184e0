"""Base of the tfds builders: rows in the given order, in one split."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

import tensorflow_datasets as tfds


class RowsBuilder(tfds.core.GeneratorBasedBuilder):
    """Writes rows in the order given; a subclass defines their features."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, *, rows: Iterable[dict] = (), **kwargs: Any) -> None:
        self._rows = rows
        super().__init__(**kwargs)

    @abstractmethod
    def _features(self) -> dict[str, Any]:
        """The columns of a row, as tfds features."""

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            disable_shuffling=True, features=tfds.features.FeaturesDict(self._features())
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        return {"rows": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[int, dict]]:
        yield from enumerate(self._rows)
