"""Modality "numeric": channels of the bars over the last sessions."""

import dataclasses
from typing import TYPE_CHECKING

from fusionjax.config import AugmentConfig, Config, DataConfig, ModelConfig
from fusionjax.config.checks import need
from fusionjax.config.key import key
from fusionjax.data.names import PRICE_CHANNELS
from fusionjax.modalities.base import Modality, Parts, RawReader, Reader
from fusionjax.registry import MODALITIES

if TYPE_CHECKING:
    import jax
    import numpy as np
    from flax import linen as nn

    from fusionjax.data.store import Market
    from fusionjax.data.windows import Scaler
    from fusionjax.types import Series


@MODALITIES.register("numeric")
@dataclasses.dataclass(frozen=True)
class Numeric(Modality):
    """Channels of the bars, scaled by the training period; a session that lacks one is masked."""

    channels: tuple[str, ...] = key(PRICE_CHANNELS, "their names")
    sessions: int = key(32, "looked back, the newest included")
    patch: int = key(4, "sessions a token")

    @property
    def channel_names(self) -> tuple[str, ...]:
        return self.channels

    @property
    def shows_prices(self) -> bool:
        return "vol20" in self.channels

    def check(self, name: str, config: Config) -> None:
        need(bool(self.channels), f"modalities.{name}.channels is empty")
        need(
            self.sessions % self.patch == 0,
            f"modalities.{name}: sessions {self.sessions} is not a multiple of patch {self.patch}",
        )

    def reader(self, market: "Market", config: Config, scaler: "Scaler") -> Reader:
        import numpy as np

        from fusionjax.data.windows import CLIP
        from fusionjax.types import Series

        values = market.channels[:, market.columns(self.channels)]
        known = np.isfinite(values).all(1)
        scaled = np.clip(scaler.scaled(values, self.channels), -CLIP, CLIP)
        scaled = np.where(known[:, None], scaled, np.float32(0))

        def read(rows: np.ndarray) -> tuple[Series, np.ndarray]:
            at, exists = market.look_back(rows, self.sessions)
            mask = exists & known[at]
            return Series(np.where(mask[..., None], scaled[at], np.float32(0)), mask), mask.any(1)

        return read

    def dummy(self, config: Config, rows: int) -> "Series":
        import numpy as np

        from fusionjax.types import Series

        mask = np.zeros((rows, self.sessions), bool)
        return Series(np.zeros((*mask.shape, len(self.channels)), np.float32), mask)

    def raw(self, market: "Market", config: Config, scaler: "Scaler") -> RawReader:
        import numpy as np

        columns = market.columns(self.channels)

        def read(rows: np.ndarray) -> dict[str, np.ndarray]:
            at, exists = market.look_back(rows, self.sessions)
            values = market.channels[at][..., columns]
            return {"channels": np.where(exists[..., None], values, np.float32(np.nan))}

        return read

    def raw_units(self, config: Config) -> dict[str, str]:
        channels = ", ".join(self.channels)
        text = f"{channels}; of the last {self.sessions} sessions, oldest first; NaN where missing"
        return {"channels": f"{text}; unscaled, as docs/data.md defines the channels"}

    def preprocess(
        self, raw: "dict[str, jax.Array]", config: Config, scaler: "Scaler"
    ) -> "tuple[Series, jax.Array]":
        import jax.numpy as jnp

        from fusionjax.data.windows import CLIP
        from fusionjax.types import Series

        values = raw["channels"]
        mask = jnp.isfinite(values).all(-1)
        scaled = jnp.clip(scaler.scaled(values, self.channels), -CLIP, CLIP)
        x = jnp.where(mask[..., None], scaled, jnp.float32(0))
        return Series(x, mask), mask.any(1)

    def encoder(self, config: ModelConfig, deterministic: bool) -> "nn.Module":
        from fusionjax.models.encoders.numeric import NumericEncoder

        return NumericEncoder(self.patch, config, deterministic)

    def levels(self, value: "Series") -> "jax.Array":
        from fusionjax.modalities import series

        return series.levels(value)

    def augment(self, value: "Series", settings: AugmentConfig, key: "jax.Array") -> "Series":
        from fusionjax.modalities import series

        return series.augmented(value, self.channels, settings, key)

    def pooled(self, value: "Series", present: "np.ndarray") -> "np.ndarray":
        from fusionjax.modalities import series

        return series.pooled(value, present)

    def of_one_session(self) -> "Numeric":
        return dataclasses.replace(self, sessions=1, patch=1)

    def daily(self, market: "Market", rows: "np.ndarray") -> "dict[str, np.ndarray]":
        columns = market.channels[rows][:, market.columns(self.channels)].astype(float)
        return {f"input {c}": columns[:, i] for i, c in enumerate(self.channels)}

    def sources(self, market: "Market", data: DataConfig, row: int) -> list[str]:
        from fusionjax.data import provenance

        return [provenance.bars(market, data, row, self.sessions)]

    def parts(self, value: "Series", market: "Market", row: int) -> list[Parts]:
        import numpy as np

        from fusionjax.modalities import series

        at, _ = market.look_back(np.array([row]), self.sessions)
        return series.parts(
            value, self.channels, {"session": market.session[at[0]].astype(str).tolist()}
        )
