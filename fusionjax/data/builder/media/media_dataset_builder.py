"""One record a decoded file: a picture, a clip of sound or frames of a video."""

from typing import Any

import tensorflow_datasets as tfds

from fusionjax.data.builder.rows import RowsBuilder


class Builder(RowsBuilder):
    """Times and symbols of the files are in ``items.parquet`` of the same part."""

    def __init__(self, *, shape: tuple[int, ...], dtype: type, **kwargs: Any) -> None:
        self._shape, self._dtype = shape, dtype
        super().__init__(**kwargs)

    def _features(self) -> dict[str, Any]:
        return {
            "data": tfds.features.Tensor(shape=self._shape, dtype=self._dtype, encoding="bytes")
        }
