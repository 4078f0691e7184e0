"""One record a text: author, times, features, and the session that may first use it."""

from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from fusionjax.data.builder.rows import RowsBuilder


class Builder(RowsBuilder):
    """A text of several symbols is a row for each."""

    def __init__(
        self, *, embedding: int = 0, lexicon: int = 0, tokens: int = 0, **kwargs: Any
    ) -> None:
        self._embedding, self._lexicon, self._tokens = embedding, lexicon, tokens
        super().__init__(**kwargs)

    def _features(self) -> dict[str, Any]:
        f = tfds.features
        return {
            "symbol": f.Text(),
            "session": f.Scalar(np.int64),  # first to use it; days since 1970-01-01
            "event_time": f.Scalar(np.int64),  # seconds since 1970-01-01 UTC, as the next
            "available_time": f.Scalar(np.int64),
            "author": f.Text(),
            "text": f.Text(),
            "embedding": f.Tensor(shape=(self._embedding,), dtype=np.float16, encoding="bytes"),
            "tokens": f.Tensor(shape=(self._tokens,), dtype=np.uint16, encoding="bytes"),
            "lexicon": f.Tensor(shape=(self._lexicon,), dtype=np.float32, encoding="bytes"),
        }
