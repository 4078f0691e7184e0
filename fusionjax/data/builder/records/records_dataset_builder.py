"""One record a content: a text, or a decoded file as an array."""

from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow_datasets as tfds


class Builder(tfds.core.GeneratorBasedBuilder):
    """Writes values of one kind, in the order given, in one split."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, *, values: Sequence[Any], **kwargs: Any) -> None:
        self._values = values
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        f, first = tfds.features, self._values[0]
        record = (
            f.Text()
            if isinstance(first, str)
            else f.Tensor(shape=first.shape, dtype=first.dtype.type, encoding="bytes")
        )
        return self.dataset_info_from_configs(
            disable_shuffling=True, features=f.FeaturesDict({"record": record})
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        return {"rows": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[int, dict]]:
        yield from enumerate({"record": value} for value in self._values)
