"""What each modality and feature dimension does to the loss, and what is odd about it, in words."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fusionjax.types import Encoded, Fused

# Shares of all contribution below which a modality is dead and above which it dominates.
_DEAD, _DOMINATING = 0.01, 0.8
# Entropy of the mean weights, as a share of the most there can be, above which they are all alike.
_ALIKE = 0.99
_FIRM = 2.0  # standard errors that make a sign firm


def contributions(loss_of: Any, encoded: Encoded) -> Float[Array, "N M D"]:
    """κ[n,m,d] = -∂ℓ_n/∂log g[m,d] at g = 1, where g multiplies the normalised features.

    How much sample n's loss falls, to first order, as feature d of modality m is turned up.

    Args:
      loss_of: ``loss_of(encoded) -> [N]``, every sample's loss from its own row alone.
      encoded: the samples.
    """
    one = jnp.ones(encoded.h.shape, jnp.float32)
    return -jax.grad(lambda g: loss_of(dataclasses.replace(encoded, gain=g)).sum())(one)


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """Indicators of a fusion on some samples; arrays in the order of the modalities.

    Attributes:
      share: contribution C_m = E_n Σ_d |κ|, as a share of all modalities' sum.
      worth: E_n Σ_d κ: positive = turning the modality up lowers the loss.
      error: standard error of ``worth``.
      within: feature-dimension contribution variance inside each modality,
        Var_d(E_n|κ|) / (E_d E_n|κ|)²; 0 where a modality contributes nothing.
      across: the same over all dimensions of all modalities together.
      weight: mean fusion weight where present; NaN where never.
      entropy: of the mean weights over modalities, as a share of the most there can be.
      agreement: share of present experts whose most likely class is the fusion's; NaN without them.
    """

    share: Float[np.ndarray, "M"]
    worth: Float[np.ndarray, "M"]
    error: Float[np.ndarray, "M"]
    within: Float[np.ndarray, "M"]
    across: float
    weight: Float[np.ndarray, "M"]
    entropy: float
    agreement: float


def diagnose(kappa: Float[np.ndarray, "N M D"], fused: Fused, classes: int) -> Diagnosis:
    """Indicators from contributions and what the fusion said on the same samples."""
    kappa = np.asarray(kappa, np.float64)
    size = np.abs(kappa).mean(0)  # [M, D]
    total = size.sum(1)
    per_sample = kappa.sum(2)
    shown = np.asarray(fused.shown)
    seen = shown.sum(0)
    weight = np.where(shown, fused.modality, 0).sum(0) / np.where(seen > 0, seen, np.nan)
    positive = np.where(np.isfinite(weight), weight, 0)
    p = positive / max(positive.sum(), 1e-12)
    used = max(int((seen > 0).sum()), 2)
    entropy = float(-(p * np.log(np.maximum(p, 1e-12))).sum() / np.log(used))
    agreement = float("nan")
    if fused.experts is not None:
        same = np.asarray(fused.experts)[..., :classes].argmax(-1) == np.asarray(fused.outputs)[
            :, None, :classes
        ].argmax(-1)
        agreement = float(same[shown].mean())
    return Diagnosis(
        share=total / max(total.sum(), 1e-12),
        worth=per_sample.mean(0),
        error=per_sample.std(0) / np.sqrt(len(kappa)),
        within=size.var(1) / np.maximum(size.mean(1) ** 2, 1e-24) * (total > 0),
        across=float(size.var() / max(size.mean() ** 2, 1e-24)),
        weight=weight,
        entropy=entropy,
        agreement=agreement,
    )


def anomalies(names: tuple[str, ...], training: Diagnosis, later: Diagnosis) -> list[str]:
    """What a person should look at, each with its likely cause.

    Args:
      names: of the modalities.
      training: on rows the encoders learned from.
      later: on rows after them.
    """
    found = []
    firm_gain = training.worth > _FIRM * training.error
    for i, name in enumerate(names):
        if not np.isfinite(later.weight[i]):
            found.append(f"{name} is in no sample: is its feed broken?")
        elif later.share[i] < _DEAD:
            found.append(
                f"{name} is dead: {later.share[i]:.1%} of all contribution. It was dropped, or its "
                "encoder has not learned; nothing is lost without it"
            )
        elif later.share[i] > _DOMINATING and len(names) > 1:
            found.append(
                f"{name} dominates: {later.share[i]:.0%} of all contribution. The others are "
                "hardly heard; check that they are scaled and present"
            )
        if firm_gain[i] and later.worth[i] < -_FIRM * later.error[i]:
            found.append(
                f"{name} helps in training ({training.worth[i]:+.4f}) and hurts later "
                f"({later.worth[i]:+.4f}): a leak or a shortcut; look at where it comes from"
            )
    useless = [
        n
        for n, w, e in zip(names, later.worth, later.error, strict=True)
        if np.isfinite(w) and w < _FIRM * e
    ]
    if later.entropy > _ALIKE and useless:
        found.append(
            f"the modalities are weighted alike (entropy {later.entropy:.3f} of 1), though on "
            f"later rows {', '.join(useless)} earn nothing: feature-dimension contribution "
            f"variance across modalities is {later.across:.2f}. Try model.fusion = distilled"
        )
    return found
