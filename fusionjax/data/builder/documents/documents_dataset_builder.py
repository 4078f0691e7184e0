"""One record a text: who, when, what it says as numbers, and the bar that may first use it."""

from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from fusionjax.data.builder.rows import RowsBuilder


class Builder(RowsBuilder):
    """Rows come by bar, then by time."""

    def __init__(self, *, embedding: int = 0, lexicon: int = 0, **kwargs: Any) -> None:
        self._embedding, self._lexicon = embedding, lexicon
        super().__init__(**kwargs)

    def _features(self) -> dict[str, Any]:
        f = tfds.features
        return {
            "bar": f.Scalar(np.int64),  # first row of the bars whose decision may use it
            "available_time": f.Scalar(np.int64),  # seconds since 1970-01-01 UTC
            "author": f.Text(),
            "text": f.Text(),
            "embedding": f.Tensor(shape=(self._embedding,), dtype=np.float16, encoding="bytes"),
            "lexicon": f.Tensor(shape=(self._lexicon,), dtype=np.float32, encoding="bytes"),
        }
