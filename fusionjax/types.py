"""What flows through the house: Batch in, Forecast out. Shapes use one letter an axis.

The same classes hold numpy arrays on the host and JAX arrays on devices.

B batch rows · M modalities · T sessions in a window, or frames of sound · F channels · K documents
· E embedding width · X lexicon scores · S sound samples · N tokens · D model width · H horizons
· C classes · O all head outputs of a sample in one row · X quality features about a modality's
quality in one sample · L features of a modality's levels, 0 for most kinds
"""

from typing import Any

from flax import struct
from jaxtyping import Bool, Float, Int, UInt8


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
    tokens: Int[Any, "B K L"] | None = None  # 0 = padding; only where the encoder is fine-tuned


@struct.dataclass
class ImageInput:
    """One grey picture a sample."""

    pixels: UInt8[Any, "B height width"]


@struct.dataclass
class VectorInput:
    """Features computed elsewhere, one row a sample."""

    x: Float[Any, "B F"]


@struct.dataclass
class Waveform:
    """One clip of mono sound a sample, 16-bit PCM, padded at its end."""

    samples: Int[Any, "B S"]
    length: Int[Any, "B"]  # samples that are sound


@struct.dataclass
class Clip:
    """One grey clip a sample, oldest frame first."""

    pixels: UInt8[Any, "B frames height width"]


# What a modality shows: one of the above, or any other pytree whose arrays begin with B.
Input = Any


@struct.dataclass
class Targets:
    """Labels by head, [B, H] each; masked where unknown, immature or outside the protocol."""

    label: dict[str, Any]  # int or float
    mask: dict[str, Bool[Any, "B _"]]


@struct.dataclass
class Base:
    """What the experts forecast together, by head: what the network's outputs correct."""

    value: dict[str, Any]  # float [B, H, ...], in the form of ``Head.prediction``; 0 if unknown
    known: dict[str, Bool[Any, "B _"]]


@struct.dataclass
class Batch:
    """Samples (symbol, decision_time) with everything known then, and what came after."""

    inputs: dict[str, Input]  # one entry a modality, in the config's order
    present: dict[str, Bool[Any, "B"]]
    targets: Targets
    # Log of the root mean square daily return: as the experts forecast it, else the trailing one.
    log_scale: Float[Any, "B"]
    weight: Float[Any, "B"]  # 0 for the rows that only pad a batch
    sample_id: Int[Any, "B"]  # row of the prepared bars; names the symbol and the session
    base: Base | None = None  # None without experts


@struct.dataclass
class StepInputs:
    """What an update needs: rows to learn from and, for distillation, rows that come after them."""

    batch: Batch
    meta: Batch | None


@struct.dataclass
class Tokens:
    """What an encoder gives: tokens of the shared width, which are real, how loud the input is."""

    x: Float[Any, "B N D"]
    mask: Bool[Any, "B N"]
    energy: Float[Any, "B"]  # log mean square of the embedded input, before any normalisation


@struct.dataclass
class Encoded:
    """Every modality of every sample as one vector."""

    h: Float[Any, "B M D"]
    present: Bool[Any, "B M"]
    energy: Float[Any, "B M"]
    log_scale: Float[Any, "B"]
    gain: Float[Any, "B M D"] | None = None  # a diagnosis turns features up by it
    levels: tuple[Float[Any, "B _"], ...] = ()  # of each modality, if a head reads them; else none


@struct.dataclass
class Fused:
    """The head outputs and the weights that made them (1 = a plain member of the mean)."""

    outputs: Float[Any, "B O"]
    modality: Float[Any, "B M"]
    feature: Float[Any, "M D"]
    present: Bool[Any, "B M"]
    experts: Float[Any, "B M O"] | None  # what each modality says alone, if the fusion asks
    quality: Float[Any, "B M X"] | None  # what the weights were read from, if they were


# What each head forecasts, by its name: float [*rows, H, ...], decoded.
Outcome = dict[str, Any]

# What each head learns towards, by its name: labels as its loss wants them, [B, H, ...].
Labels = dict[str, Any]


@struct.dataclass
class Forecast:
    """What the model says, with the fusion weights that led to it."""

    outcome: Outcome
    modality_weight: Float[Any, "B M"]
