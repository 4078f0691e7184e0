"""One encoder a kind of modality: an input and its mask to tokens of the shared width."""

from flax import linen as nn

from fusionjax.config import (
    AudioConfig,
    ChartConfig,
    FramesConfig,
    ImageConfig,
    ModalityConfig,
    ModelConfig,
    NumericConfig,
    TextConfig,
    VectorConfig,
    VideoConfig,
)
from fusionjax.models.encoders.audio import AudioEncoder
from fusionjax.models.encoders.image import ImageEncoder
from fusionjax.models.encoders.numeric import NumericEncoder
from fusionjax.models.encoders.text import TextEncoder
from fusionjax.models.encoders.vector import VectorEncoder
from fusionjax.models.encoders.video import VideoEncoder


def encoder(
    spec: ModalityConfig,
    config: ModelConfig,
    deterministic: bool,
) -> nn.Module:
    """The encoder of a modality's kind."""
    kind: dict[type, type[nn.Module]] = {
        NumericConfig: NumericEncoder,
        FramesConfig: NumericEncoder,
        TextConfig: TextEncoder,
        ChartConfig: ImageEncoder,
        ImageConfig: ImageEncoder,
        AudioConfig: AudioEncoder,
        VideoConfig: VideoEncoder,
        VectorConfig: VectorEncoder,
    }
    return kind[type(spec)](spec, config, deterministic)
