"""What flows through the house: Batch in, Forecast out. Shapes use one letter an axis.

B batch rows · M modalities · T sessions in a window · F channels · K documents · E embedding width
· X lexicon scores · N tokens · D model width · H horizons · Q quantiles · C classes (down, up)
"""

from flax import struct
from jaxtyping import Array, Bool, Float, Int, UInt8

CLASSES = ("down", "up")
PIXELS_PER_SESSION = 3  # of a chart: open, wick and close columns


@struct.dataclass
class Series:
    """A window of a numeric modality, oldest session first. Masked rows hold zeros."""

    x: Float[Array, "B T F"]
    mask: Bool[Array, "B T"]


@struct.dataclass
class Documents:
    """The last K documents known at the decision time, oldest first, right-aligned."""

    embedding: Float[Array, "B K E"]
    lexicon: Float[Array, "B K X"]
    age: Float[Array, "B K"]  # hours between available_time and decision_time
    author: Int[Array, "B K"]  # hash bucket
    mask: Bool[Array, "B K"]


@struct.dataclass
class Image:
    """One grey picture a sample."""

    pixels: UInt8[Array, "B height width"]


Input = Series | Documents | Image


@struct.dataclass
class Targets:
    """Labels per horizon; a mask is False where the label is unknown, immature or out of protocol."""

    direction: Int[Array, "B H1"]  # class index
    direction_mask: Bool[Array, "B H1"]
    returns: Float[Array, "B H2"]  # log return over the horizon
    returns_mask: Bool[Array, "B H2"]
    log_volatility: Float[Array, "B H3"]  # log of the root mean square daily log return
    volatility_mask: Bool[Array, "B H3"]


@struct.dataclass
class Batch:
    """Samples (symbol, decision_time) with everything known then, and what came after."""

    inputs: dict[str, Input]  # one entry a modality, in the config's order
    present: dict[str, Bool[Array, "B"]]
    targets: Targets
    log_scale: Float[Array, "B"]  # log of the trailing root mean square daily return
    weight: Float[Array, "B"]  # 0 for the rows that only pad a batch
    sample_id: Int[Array, "B"]  # row of the prepared bars; names the symbol and the session


@struct.dataclass
class Tokens:
    """What an encoder gives: tokens of the shared width and which of them are real."""

    x: Float[Array, "B N D"]
    mask: Bool[Array, "B N"]


@struct.dataclass
class Fused:
    """One representation and the weights that made it (1 = a plain member of the mean)."""

    z: Float[Array, "B D"]
    modality: Float[Array, "B M"]
    feature: Float[Array, "M D"]


@struct.dataclass
class Forecast:
    """What the model says, with the fusion weights that led to it."""

    direction_logits: Float[Array, "B H1 C"]
    return_quantiles: Float[Array, "B H2 Q"]  # log returns, non-decreasing in Q
    log_volatility: Float[Array, "B H3"]
    modality_weight: Float[Array, "B M"]
    feature_weight: Float[Array, "M D"]
