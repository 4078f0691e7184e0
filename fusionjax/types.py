"""What flows through the house: Batch in, Forecast out. Shapes use one letter an axis.

The same classes hold numpy arrays on the host and JAX arrays on devices.

B batch rows · M modalities · T sessions in a window · F channels · K documents · E embedding width
· X lexicon scores · N tokens · D model width · H horizons · Q quantiles · C classes (down, up)
"""

from typing import Any

from flax import struct
from jaxtyping import Bool, Float, Int, UInt8

CLASSES = ("down", "up")
PIXELS_PER_SESSION = 3  # of a chart: open, wick and close columns


@struct.dataclass
class Series:
    """A window of a numeric modality, oldest session first. Masked rows hold zeros."""

    x: Float[Any, "B T F"]
    mask: Bool[Any, "B T"]


@struct.dataclass
class Documents:
    """The last K documents known at the decision time, oldest first, right-aligned."""

    embedding: Float[Any, "B K E"]
    lexicon: Float[Any, "B K X"]
    age: Float[Any, "B K"]  # hours between available_time and decision_time
    author: Int[Any, "B K"]  # hash bucket
    mask: Bool[Any, "B K"]


@struct.dataclass
class Image:
    """One grey picture a sample."""

    pixels: UInt8[Any, "B height width"]


Input = Series | Documents | Image


@struct.dataclass
class Targets:
    """Labels per horizon; masked where unknown, immature or outside the protocol."""

    direction: Int[Any, "B H1"]  # class index
    direction_mask: Bool[Any, "B H1"]
    returns: Float[Any, "B H2"]  # log return over the horizon
    returns_mask: Bool[Any, "B H2"]
    log_volatility: Float[Any, "B H3"]  # log of the root mean square daily log return
    volatility_mask: Bool[Any, "B H3"]


@struct.dataclass
class Batch:
    """Samples (symbol, decision_time) with everything known then, and what came after."""

    inputs: dict[str, Input]  # one entry a modality, in the config's order
    present: dict[str, Bool[Any, "B"]]
    targets: Targets
    log_scale: Float[Any, "B"]  # log of the trailing root mean square daily return
    weight: Float[Any, "B"]  # 0 for the rows that only pad a batch
    sample_id: Int[Any, "B"]  # row of the prepared bars; names the symbol and the session


@struct.dataclass
class Tokens:
    """What an encoder gives: tokens of the shared width and which of them are real."""

    x: Float[Any, "B N D"]
    mask: Bool[Any, "B N"]


@struct.dataclass
class Fused:
    """One representation and the weights that made it (1 = a plain member of the mean)."""

    z: Float[Any, "B D"]
    modality: Float[Any, "B M"]
    feature: Float[Any, "M D"]


@struct.dataclass
class Forecast:
    """What the model says, with the fusion weights that led to it."""

    direction_logits: Float[Any, "B H1 C"]
    return_quantiles: Float[Any, "B H2 Q"]  # log returns, non-decreasing in Q
    log_volatility: Float[Any, "B H3"]
    modality_weight: Float[Any, "B M"]
    feature_weight: Float[Any, "M D"]
