"""Modality "image": the newest picture of some sessions."""

import dataclasses
import warnings
from collections.abc import Callable
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

    from fusionjax import types
    from fusionjax.data.store import Market

_FIELDS = 8  # of a picture that is explained, along each side, at most


@MODALITIES.register("image")
@dataclasses.dataclass(frozen=True)
class Image(Media):
    """A picture in grey at ``data.image_size``."""

    patch: int = key(16, "pixels a token, along both sides")
    folder: ClassVar[str] = "images"

    @staticmethod
    def shape(data: DataConfig) -> tuple[int, ...]:
        return data.image_size

    @staticmethod
    def decoder(data: DataConfig) -> "Callable[[Path], tuple[np.ndarray, int]]":
        from fusionjax.data import media, pictures

        media.require_packages()
        # Pillow warns of damaged EXIF, which no viewer minds; of pictures too large we know more.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        return lambda path: pictures.picture(path, data)

    def check(self, name: str, config: Config) -> None:
        size = config.data.image_size
        need(
            all(n % self.patch == 0 for n in size),
            f"modalities.{name}: data.image_size {size} does not divide into patches of "
            f"{self.patch}",
        )

    def input(self, content: "np.ndarray", length: "np.ndarray") -> "types.ImageInput":
        from fusionjax import types

        return types.ImageInput(content)

    def encoder(self, config: ModelConfig, deterministic: bool) -> "nn.Module":
        from fusionjax.models.encoders.image import ImageEncoder

        return ImageEncoder((self.patch, self.patch), True, config, deterministic)

    def augment(
        self, value: "types.ImageInput", settings: AugmentConfig, key: "jax.Array"
    ) -> "types.ImageInput":
        """Cuts out a box, shifts and mirrors."""
        import jax

        from fusionjax import types
        from fusionjax.modalities import pixels

        cut_key, move_key, flip_key = jax.random.split(key, 3)
        cut = pixels.cut_out(value.pixels, settings.image_cutout, cut_key)
        moved = pixels.moved(cut, settings.image_shift, move_key)
        return types.ImageInput(pixels.flipped(moved, settings.image_flip, flip_key))

    def pooled(self, value: "types.ImageInput", present: "np.ndarray") -> "np.ndarray":
        from fusionjax.modalities import pixels

        return pixels.pooled(value.pixels[:, None], present)

    def picture(self, value: "types.ImageInput", market: "Market", row: int) -> Pixels:
        return Pixels(value.pixels)

    def parts(self, value: "types.ImageInput", market: "Market", row: int) -> list[Parts]:
        from fusionjax.modalities import pixels

        return pixels.parts(value.pixels, _FIELDS)
