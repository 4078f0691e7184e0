"""One record a decoded file: a picture, a clip of sound or frames of a video."""

from collections.abc import Iterable, Iterator
from typing import Any

import tensorflow_datasets as tfds


class Builder(tfds.core.GeneratorBasedBuilder):
    """Writes rows in the order given; when and whose they are is in ``items.parquet`` beside."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(
        self, *, rows: Iterable[dict] = (), shape: tuple[int, ...], dtype: type, **kwargs: Any
    ) -> None:
        self._rows, self._shape, self._dtype = rows, shape, dtype
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        f = tfds.features
        return self.dataset_info_from_configs(
            disable_shuffling=True,
            features=f.FeaturesDict(
                {"data": f.Tensor(shape=self._shape, dtype=self._dtype, encoding="bytes")}
            ),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        return {"rows": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[int, dict]]:
        yield from enumerate(self._rows)
