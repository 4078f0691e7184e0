"""Modality "video": frames of the newest clip of some sessions."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from fusionjax.config import AugmentConfig, Config, DataConfig, ModelConfig
from fusionjax.config.checks import need
from fusionjax.config.key import key
from fusionjax.modalities.base import Parts, Pixels
from fusionjax.modalities.media import Media
from fusionjax.registry import MODALITIES

if TYPE_CHECKING:
    import jax
    import numpy as np
    from flax import linen as nn

    from fusionjax.data.store import Market
    from fusionjax.types import Clip


_STILL = 2  # levels by which a pixel of a still picture changes: an encoder's errors


@MODALITIES.register("video")
@dataclasses.dataclass(frozen=True)
class Video(Media):
    """What is seen at ``data.video_frames`` evenly spaced times, in grey at ``data.video_size``."""

    patch: int = key(16, "pixels a token, along both sides")
    patch_frames: int = key(2, "frames a token")
    folder: ClassVar[str] = "video"
    also: ClassVar[Mapping[str, str]] = {"sound": "audio"}

    @staticmethod
    def shape(data: DataConfig) -> tuple[int, ...]:
        return (data.video_frames, *data.video_size)

    @staticmethod
    def decoder(data: DataConfig) -> "Callable[[Path], tuple[np.ndarray, int]]":
        from fusionjax.data import media, recordings

        media.require_packages()
        return lambda path: recordings.clip(path, data)

    @classmethod
    def flaw(cls, content: "np.ndarray", length: int) -> str:
        change = content.max(0).astype(int) - content.min(0)
        still = len(content) > 1 and change.max() <= _STILL
        return super().flaw(content, length) or ("a still picture" if still else "")

    def check(self, name: str, config: Config) -> None:
        size, frames = config.data.video_size, config.data.video_frames
        need(
            all(n % self.patch == 0 for n in size),
            f"modalities.{name}: data.video_size {size} does not divide into patches of "
            f"{self.patch}",
        )
        need(
            frames % self.patch_frames == 0,
            f"modalities.{name}: data.video_frames {frames} is not a multiple of "
            f"patch_frames {self.patch_frames}",
        )

    def input(self, content: "np.ndarray", length: "np.ndarray") -> "Clip":
        from fusionjax.types import Clip

        return Clip(content)

    def encoder(self, config: ModelConfig, deterministic: bool) -> "nn.Module":
        from fusionjax.models.encoders.video import VideoEncoder

        return VideoEncoder(self.patch, self.patch_frames, config, deterministic)

    def augment(self, value: "Clip", settings: AugmentConfig, key: "jax.Array") -> "Clip":
        """Cuts out a box at the same place in all frames."""
        from fusionjax.modalities import pixels
        from fusionjax.types import Clip

        return Clip(pixels.cut_out(value.pixels, settings.image_cutout, key))

    def pooled(self, value: "Clip", present: "np.ndarray") -> "np.ndarray":
        from fusionjax.modalities import pixels

        return pixels.pooled(value.pixels, present)

    def picture(self, value: "Clip", market: "Market", row: int) -> Pixels:
        """The frames side by side."""
        import numpy as np

        return Pixels(np.concatenate(np.asarray(value.pixels), 1))

    def parts(self, value: "Clip", market: "Market", row: int) -> list[Parts]:
        """The frames of its tokens, so many at a time."""
        import numpy as np

        from fusionjax.types import Clip

        starts = range(0, len(value.pixels), self.patch_frames)
        own = np.arange(len(value.pixels)) // self.patch_frames == np.arange(len(starts))[:, None]
        names = [f"frames {i + 1} to {i + self.patch_frames}" for i in starts]
        return [Parts("frames", names, Clip(own[..., None, None]))]
