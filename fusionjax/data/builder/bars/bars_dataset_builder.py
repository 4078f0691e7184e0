"""One record a symbol and session: prices and numeric channels."""

from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from fusionjax.data.builder.rows import RowsBuilder


class Builder(RowsBuilder):
    """NaN in ``channels`` means missing."""

    def __init__(self, *, channels: int = 0, **kwargs: Any) -> None:
        self._channels = channels
        super().__init__(**kwargs)

    def _features(self) -> dict[str, Any]:
        f = tfds.features
        return {
            "symbol": f.Text(),
            "session": f.Scalar(np.int64),  # days since 1970-01-01
            "decision_time": f.Scalar(np.int64),  # seconds since 1970-01-01 UTC
            "ohlcv": f.Tensor(shape=(5,), dtype=np.float32, encoding="bytes"),
            # As bytes: a plain scalar passes through tf.Example's float32 and loses digits.
            "adj_close": f.Tensor(shape=(), dtype=np.float64, encoding="bytes"),
            "subset": f.Scalar(np.bool_),
            "channels": f.Tensor(shape=(self._channels,), dtype=np.float32, encoding="bytes"),
        }
