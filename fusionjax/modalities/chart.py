"""Modality "chart": candlesticks of the last sessions, drawn for each batch."""

import dataclasses
from typing import TYPE_CHECKING

from fusionjax.config import AugmentConfig, Config, DataConfig, ModelConfig
from fusionjax.config.checks import need
from fusionjax.config.key import key
from fusionjax.modalities.base import Modality, Parts, Pixels, RawReader, Reader
from fusionjax.registry import MODALITIES

if TYPE_CHECKING:
    import jax
    import numpy as np
    from flax import linen as nn

    from fusionjax.data.store import Market
    from fusionjax.data.windows import Scaler
    from fusionjax.types import ImageInput


@MODALITIES.register("chart")
@dataclasses.dataclass(frozen=True)
class Chart(Modality):
    """A picture of prices and volume (``data.charts``); always present."""

    sessions: int = key(32, "drawn, the newest at the right edge")
    height: int = key(60, "pixels")
    patch_height: int = key(20, "pixels a token")
    patch_sessions: int = key(8, "sessions a token")

    @property
    def shows_prices(self) -> bool:
        return True

    def check(self, name: str, config: Config) -> None:
        need(
            self.height % self.patch_height == 0 and self.sessions % self.patch_sessions == 0,
            f"modalities.{name}: {self.height} pixels × {self.sessions} sessions do not divide "
            f"into patches of {self.patch_height} × {self.patch_sessions}",
        )

    def reader(self, market: "Market", config: Config, scaler: "Scaler") -> Reader:
        import numpy as np

        from fusionjax.data import charts
        from fusionjax.types import ImageInput

        def read(rows: np.ndarray) -> tuple[ImageInput, np.ndarray]:
            at, exists = market.look_back(rows, self.sessions)
            pixels = charts.draw(market.adjusted[at], exists, self.height)
            return ImageInput(pixels), np.ones(len(rows), bool)

        return read

    def dummy(self, config: Config, rows: int) -> "ImageInput":
        import numpy as np

        from fusionjax.data.charts import PIXELS_PER_SESSION
        from fusionjax.types import ImageInput

        width = self.sessions * PIXELS_PER_SESSION
        return ImageInput(np.zeros((rows, self.height, width), np.uint8))

    def raw(self, market: "Market", config: Config, scaler: "Scaler") -> RawReader:
        import numpy as np

        def read(rows: np.ndarray) -> dict[str, np.ndarray]:
            at, exists = market.look_back(rows, self.sessions)
            return {"bars": np.where(exists[..., None], market.adjusted[at], np.float32(np.nan))}

        return read

    def raw_units(self, config: Config) -> dict[str, str]:
        return {
            "bars": f"open, high, low, close, volume of the last {self.sessions} sessions, oldest "
            "first, in the scale of the adjusted close; NaN where a session is missing"
        }

    def preprocess(
        self, raw: "dict[str, jax.Array]", config: Config, scaler: "Scaler"
    ) -> "tuple[ImageInput, jax.Array]":
        import jax.numpy as jnp

        from fusionjax.data import charts
        from fusionjax.types import ImageInput

        bars = raw["bars"]
        pixels = charts.draw(bars, jnp.isfinite(bars).all(-1), self.height)
        return ImageInput(pixels), jnp.ones(bars.shape[0], bool)

    def encoder(self, config: ModelConfig, deterministic: bool) -> "nn.Module":
        from fusionjax.data.charts import PIXELS_PER_SESSION
        from fusionjax.models.encoders.image import ImageEncoder

        patch = self.patch_height, self.patch_sessions * PIXELS_PER_SESSION
        return ImageEncoder(patch, False, config, deterministic)

    def augment(
        self, value: "ImageInput", settings: AugmentConfig, key: "jax.Array"
    ) -> "ImageInput":
        """Cuts out a box only: shifting or flipping a chart would change its meaning."""
        import jax

        from fusionjax.modalities import pixels
        from fusionjax.types import ImageInput

        cut_key, _, _ = jax.random.split(key, 3)
        return ImageInput(pixels.cut_out(value.pixels, settings.image_cutout, cut_key))

    def pooled(self, value: "ImageInput", present: "np.ndarray") -> "np.ndarray":
        from fusionjax.modalities import pixels

        return pixels.pooled(value.pixels[:, None], present)

    def of_one_session(self) -> "Chart":
        return dataclasses.replace(self, sessions=1, patch_sessions=1)

    def sources(self, market: "Market", data: DataConfig, row: int) -> list[str]:
        from fusionjax.data import provenance

        return [provenance.bars(market, data, row, self.sessions)]

    def picture(self, value: "ImageInput", market: "Market", row: int) -> Pixels:
        return Pixels(value.pixels)

    def parts(self, value: "ImageInput", market: "Market", row: int) -> list[Parts]:
        """The patches of its tokens, and the sessions that it draws."""
        import numpy as np

        from fusionjax.modalities import pixels
        from fusionjax.types import ImageInput

        shape = value.pixels.shape
        count = self.sessions // self.patch_sessions
        at, exists = market.look_back(np.array([row]), self.sessions)
        day = market.session[at[0]].astype(str)
        first = day.reshape(count, -1)
        rows = self.height // self.patch_height
        _, patches = pixels.fields(shape, rows, count)
        _, columns = pixels.fields(shape, 1, self.sessions)
        names = [
            f"{days[0]} to {days[-1]}, pixel rows {y * self.patch_height} to "
            f"{(y + 1) * self.patch_height - 1} of {self.height}"
            for y in range(rows)
            for days in first
        ]
        drawn = exists[0]
        return [
            Parts("patch", names, ImageInput(patches)),
            Parts("session", day[drawn].tolist(), ImageInput(columns[drawn])),
        ]
