"""Modality "frames": the newest table of features computed elsewhere, a row a frame."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from fusionjax.config import AugmentConfig, Config, DataConfig, ModelConfig
from fusionjax.config.checks import need
from fusionjax.config.key import key
from fusionjax.modalities.base import Parts, Reader
from fusionjax.modalities.media import Media
from fusionjax.registry import MODALITIES

if TYPE_CHECKING:
    import jax
    import numpy as np
    from flax import linen as nn

    from fusionjax.data.store import Market
    from fusionjax.data.windows import Scaler
    from fusionjax.types import Series

_PAGE = 256  # items read at once when the scale is fitted


@MODALITIES.register("frames")
@dataclasses.dataclass(frozen=True)
class Frames(Media):
    """The first ``data.max_frames`` rows of ``data.frame_features`` columns, scaled like channels.

    A frame with a missing value is masked.
    """

    patch: int = key(8, "frames a token")
    folder: ClassVar[str] = "frames"
    dtype: ClassVar[str] = "float32"

    @staticmethod
    def shape(data: DataConfig) -> tuple[int, ...]:
        return data.max_frames, data.frame_features

    @staticmethod
    def decoder(data: DataConfig) -> "Callable[[Path], tuple[np.ndarray, int]]":
        from fusionjax.data import media

        return lambda path: media.table(path, data)

    @classmethod
    def flaw(cls, content: "np.ndarray", length: int) -> str:
        import numpy as np

        rows = content[:length]
        if not np.isfinite(rows).any():
            return "without numbers"
        same = np.array_equal(rows, np.broadcast_to(rows[:1], rows.shape), equal_nan=True)
        return "constant" if same and length > 1 else ""

    @classmethod
    def moments(cls, market: "Market", used: "np.ndarray") -> dict[str, tuple[float, float]]:
        """Mean and standard deviation of each feature; 1 for a constant one. Reads page by page."""
        import numpy as np

        if "frames" not in market.media:
            return {}
        media = market.media["frames"]
        index = np.flatnonzero(used[media.bar])
        count, total, squares = np.zeros((3, media.shape[1]))
        for start in range(0, len(index), _PAGE):
            x = media.read(index[start : start + _PAGE]).reshape(-1, media.shape[1]).astype(float)
            known = np.isfinite(x)
            x = np.where(known, x, 0)
            count, total, squares = count + known.sum(0), total + x.sum(0), squares + (x**2).sum(0)
        mean = total / np.maximum(count, 1)
        spread = np.sqrt(np.maximum(squares / np.maximum(count, 1) - mean**2, 0))
        std = np.where(spread > 0, spread, 1.0)
        pairs = zip(mean.tolist(), std.tolist(), strict=True)
        return dict(zip(_names(media.shape[1]), pairs, strict=True))

    def check(self, name: str, config: Config) -> None:
        frames = config.data.max_frames
        need(
            frames % self.patch == 0,
            f"modalities.{name}: data.max_frames {frames} is not a multiple of patch {self.patch}",
        )

    def reader(self, market: "Market", config: Config, scaler: "Scaler") -> Reader:
        import numpy as np

        from fusionjax.data.windows import CLIP
        from fusionjax.types import Series

        names = _names(config.data.frame_features)

        def read(rows: np.ndarray) -> tuple[Series, np.ndarray]:
            content, _, present = self.newest(market, rows)
            x = scaler.scaled(content, names)
            mask = present[:, None] & np.isfinite(x).all(2)
            x = np.where(mask[..., None], np.clip(x, -CLIP, CLIP), np.float32(0))
            return Series(x.astype(np.float32), mask), mask.any(1)

        return read

    def input(self, content: "np.ndarray", length: "np.ndarray") -> "Series":
        import numpy as np

        from fusionjax.types import Series

        return Series(content, np.arange(content.shape[1]) < length[:, None])

    def encoder(self, config: ModelConfig, deterministic: bool) -> "nn.Module":
        from fusionjax.models.encoders.numeric import NumericEncoder

        return NumericEncoder(self.patch, config, deterministic)

    def augment(self, value: "Series", settings: AugmentConfig, key: "jax.Array") -> "Series":
        from fusionjax.modalities import series

        return series.augmented(value, (), settings, key)

    def pooled(self, value: "Series", present: "np.ndarray") -> "np.ndarray":
        from fusionjax.modalities import series

        return series.pooled(value, present)

    def parts(self, value: "Series", market: "Market", row: int) -> list[Parts]:
        from fusionjax.modalities import series

        frames, features = value.x.shape
        return series.parts(
            value, _names(features), {"frame": [f"frame {i + 1}" for i in range(frames)]}
        )


def _names(count: int) -> tuple[str, ...]:
    """Names of the features in a ``Scaler``."""
    return tuple(f"frames[{i}]" for i in range(count))
