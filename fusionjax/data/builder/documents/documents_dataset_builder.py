"""One record a text: who, when, what it says as numbers, and the bar that may first use it."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds


class Builder(tfds.core.GeneratorBasedBuilder):
    """Writes rows in the order given: by bar, then by time."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(
        self, *, rows: Iterable[dict] = (), embedding: int = 0, lexicon: int = 0, **kwargs: Any
    ) -> None:
        self._rows, self._embedding, self._lexicon = rows, embedding, lexicon
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        f = tfds.features
        return self.dataset_info_from_configs(
            disable_shuffling=True,
            features=f.FeaturesDict(
                {
                    "bar": f.Scalar(np.int64),  # first row of the bars whose decision may use it
                    "available_time": f.Scalar(np.int64),  # seconds since 1970-01-01 UTC
                    "author": f.Text(),
                    "text": f.Text(),
                    "embedding": f.Tensor(
                        shape=(self._embedding,), dtype=np.float16, encoding="bytes"
                    ),
                    "lexicon": f.Tensor(shape=(self._lexicon,), dtype=np.float32, encoding="bytes"),
                }
            ),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        return {"rows": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[int, dict]]:
        yield from enumerate(self._rows)
