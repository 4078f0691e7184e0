"""Modality "vector": a feature vector a sample, for studies of the fusion."""

import dataclasses
from typing import TYPE_CHECKING, ClassVar

from fusionjax.config import Config, ModelConfig
from fusionjax.config.checks import need
from fusionjax.config.key import key
from fusionjax.errors import InputError
from fusionjax.modalities.base import Modality, Parts, Reader
from fusionjax.registry import MODALITIES

if TYPE_CHECKING:
    import numpy as np
    from flax import linen as nn

    from fusionjax import types
    from fusionjax.data.store import Market
    from fusionjax.data.windows import Scaler


@MODALITIES.register("vector")
@dataclasses.dataclass(frozen=True)
class Vector(Modality):
    """Vectors in a study's own batches; a market has none."""

    features: int = key(8, "its width")
    needs_layers: ClassVar[bool] = False

    @property
    def shows_prices(self) -> None:
        """Unknown, so the batch's own scale is used."""

    def check(self, name: str, config: Config) -> None:
        need(
            config.model.layers > 0 or self.features <= config.model.width,
            f"modalities.{name} does not fit into model.width {config.model.width} as it is",
        )

    def require(self, name: str, market: "Market", config: Config) -> None:
        raise InputError(
            f"config.modalities.{name} is a vector: those are for studies of the fusion "
            "(studies/ladder.py); a market has none"
        )

    def reader(self, market: "Market", config: Config, scaler: "Scaler") -> Reader:
        raise AssertionError("no market holds vectors")

    def dummy(self, config: Config, rows: int) -> "types.VectorInput":
        import numpy as np

        from fusionjax import types

        return types.VectorInput(np.zeros((rows, self.features), np.float32))

    def encoder(self, config: ModelConfig, deterministic: bool) -> "nn.Module":
        from fusionjax.models.encoders.vector import VectorEncoder

        return VectorEncoder(config, deterministic)

    def pooled(self, value: "types.VectorInput", present: "np.ndarray") -> "np.ndarray":
        import numpy as np

        return np.where(present[:, None], value.x, np.nan)

    def parts(self, value: "types.VectorInput", market: "Market", row: int) -> list[Parts]:
        import numpy as np

        from fusionjax import types

        names = [f"feature {i}" for i in range(len(value.x))]
        return [Parts("feature", names, types.VectorInput(np.eye(len(names), dtype=bool)))]
