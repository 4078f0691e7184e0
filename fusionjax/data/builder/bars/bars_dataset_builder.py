"""One record a symbol and session: prices and numeric channels."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds


class Builder(tfds.core.GeneratorBasedBuilder):
    """Writes rows in the order given; NaN in ``channels`` means missing."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, *, rows: Iterable[dict] = (), channels: int = 0, **kwargs: Any) -> None:
        self._rows, self._channels = rows, channels
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        f = tfds.features
        return self.dataset_info_from_configs(
            disable_shuffling=True,
            features=f.FeaturesDict(
                {
                    "symbol": f.Text(),
                    "session": f.Scalar(np.int64),  # days since 1970-01-01
                    "decision_time": f.Scalar(np.int64),  # seconds since 1970-01-01 UTC
                    "ohlcv": f.Tensor(shape=(5,), dtype=np.float32, encoding="bytes"),
                    # As bytes: a plain scalar passes through tf.Example's float32 and loses digits.
                    "adj_close": f.Tensor(shape=(), dtype=np.float64, encoding="bytes"),
                    "subset": f.Scalar(np.bool_),
                    "channels": f.Tensor(
                        shape=(self._channels,), dtype=np.float32, encoding="bytes"
                    ),
                }
            ),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        return {"rows": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[int, dict]]:
        yield from enumerate(self._rows)
