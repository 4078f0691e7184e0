"""The effect of each modality and feature dimension on the loss, and warnings derived from it."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from fusionjax.types import Encoded, Fused

# Shares of all contribution below which a modality is dead and above which it dominates.
_DEAD, _DOMINATING = 0.01, 0.8
# Entropy of the mean weights, as a share of the maximum, above which they count as equal.
_EQUAL = 0.99
_FIRM = 2.0  # standard errors from zero beyond which a sign counts as established


def contributions(loss_of: Any, encoded: Encoded) -> Float[Array, "N M _"]:
    """κ[n,m,d] = -∂ℓ_n/∂log g[m,d] at g = 1, where g multiplies the normalised features.

    How much sample n's loss falls, to first order, as feature d of modality m is scaled up. Beside
    the D features there is a last one for all its levels together, if a head reads them.

    Args:
      loss_of: ``loss_of(encoded) -> [N]``, each sample's loss from its own row alone.
      encoded: the samples.
    """

    def loss(gain: Array, level_gain: Array) -> Array:
        levels = tuple(x * level_gain[:, i, None] for i, x in enumerate(encoded.levels))
        return loss_of(dataclasses.replace(encoded, gain=gain, levels=levels)).sum()

    ones = jnp.ones(encoded.h.shape, jnp.float32)
    by_feature, by_level = jax.grad(loss, (0, 1))(ones, ones[..., 0])
    return -jnp.concatenate([by_feature, by_level[..., None]], 2) if encoded.levels else -by_feature


def swap(encoded: Encoded, swapped: Float[Array, "M"], shift: Int[Array, ""] | int) -> Encoded:
    """Replaces the modalities marked 1 by those of the sample ``shift`` rows before, cyclically.

    Rows are in time order, so the other sample is of another time.
    """

    def swap_rows(x: Array) -> Array:
        mask = jnp.expand_dims(swapped, (0, *range(2, x.ndim))) > 0
        return other_rows(x, mask)

    def other_rows(x: Array, mask: Array) -> Array:
        return jnp.where(mask, jnp.roll(x, shift, axis=0), x)

    h, present, energy = (swap_rows(x) for x in (encoded.h, encoded.present, encoded.energy))
    levels = tuple(other_rows(x, swapped[i] > 0) for i, x in enumerate(encoded.levels))
    return dataclasses.replace(encoded, h=h, present=present, energy=energy, levels=levels)


def removals(loss_of: Any, encoded: Encoded) -> tuple[Float[Array, "N M"], Float[Array, "N M"]]:
    """Rise of each sample's loss with a modality's features and levels zero, and with those of
    another sample, a third of the rows away.

    The second is a placebo: the loss may also rise without a modality of pure noise, because the
    noise damped the others.

    Args: as for ``contributions``.
    """
    ones = jnp.ones(encoded.h.shape, jnp.float32)
    baseline = loss_of(encoded)

    def without(modality: Array) -> tuple[Array, Array]:
        gain = jnp.where(modality[None, :, None] > 0, 0.0, ones)
        levels = tuple(jnp.where(modality[i] > 0, 0.0, x) for i, x in enumerate(encoded.levels))
        removed = loss_of(dataclasses.replace(encoded, gain=gain, levels=levels))
        swapped = loss_of(swap(encoded, modality, len(ones) // 3))
        return removed - baseline, swapped - baseline

    removed, swapped = jax.lax.map(without, jnp.eye(ones.shape[1]))
    return removed.T, swapped.T


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """Indicators of a fusion on some samples; arrays in the order of the modalities.

    Attributes:
      share: contribution C_m = E_n Σ_d |κ|, as a share of all modalities' sum.
      worth: rise of the mean loss with the modality's features at zero, see ``removals``.
      error: standard error of ``worth``.
      earned: rise of the mean loss with the modality of another sample; about 0 for noise.
      earned_error: standard error of ``earned``.
      within: feature-dimension contribution variance inside each modality,
        Var_d(E_n|κ|) / (E_d E_n|κ|)²; 0 where a modality contributes nothing.
      across: the same over all dimensions of all modalities together.
      weight: mean fusion weight where present; NaN where never.
      entropy: of the mean weights over modalities, as a share of the maximum.
      agreement: share of present experts whose most likely class is the fusion's; NaN without them.
    """

    share: Float[np.ndarray, "M"]
    worth: Float[np.ndarray, "M"]
    error: Float[np.ndarray, "M"]
    earned: Float[np.ndarray, "M"]
    earned_error: Float[np.ndarray, "M"]
    within: Float[np.ndarray, "M"]
    across: float
    weight: Float[np.ndarray, "M"]
    entropy: float
    agreement: float


def diagnose(
    kappa: Float[np.ndarray, "N M D"],
    rise: tuple[Float[np.ndarray, "N M"], Float[np.ndarray, "N M"]],
    fused: Fused,
    classes: slice,
) -> Diagnosis:
    """Indicators from contributions, removals and the fusion's outputs on the same samples.

    ``classes`` are the class logits among the outputs, for the experts' agreement.
    """
    kappa = np.asarray(kappa, np.float64)
    removed, swapped = rise
    size = np.abs(kappa).mean(0)  # [M, D]
    total = size.sum(1)
    present = np.asarray(fused.present)
    count = present.sum(0)
    weight = np.where(present, fused.modality, 0).sum(0) / np.where(count > 0, count, np.nan)
    known_weight = np.where(np.isfinite(weight), weight, 0)
    p = known_weight / max(known_weight.sum(), 1e-12)
    present_count = max(int((count > 0).sum()), 2)
    entropy = float(-(p * np.log(np.maximum(p, 1e-12))).sum() / np.log(present_count))
    agreement = float("nan")
    if fused.experts is not None:
        same = np.asarray(fused.experts)[..., classes].argmax(-1) == np.asarray(fused.outputs)[
            :, None, classes
        ].argmax(-1)
        agreement = float(same[present].mean())
    return Diagnosis(
        share=total / max(total.sum(), 1e-12),
        worth=removed.mean(0),
        error=removed.std(0) / np.sqrt(len(removed)),
        earned=swapped.mean(0),
        earned_error=swapped.std(0) / np.sqrt(len(swapped)),
        within=size.var(1) / np.maximum(size.mean(1) ** 2, 1e-24) * (total > 0),
        across=float(size.var() / max(size.mean() ** 2, 1e-24)),
        weight=weight,
        entropy=entropy,
        agreement=agreement,
    )


def anomalies(
    names: tuple[str, ...],
    training: Diagnosis,
    later: Diagnosis,
    settled: Diagnosis | None = None,
) -> list[str]:
    """Warnings about a fusion, each with its likely cause.

    Args:
      names: of the modalities.
      training: on training rows.
      later: on rows after them.
      settled: on the later rows after modalities were dropped; ``later`` if not given.
    """
    settled = settled or later
    warnings = []
    alive = settled.share >= _DEAD
    helps_in_training = training.worth > _FIRM * training.error
    for i, name in enumerate(names):
        if not np.isfinite(later.weight[i]):
            warnings.append(f"{name} is in no sample: is its feed broken?")
        elif settled.share[i] < _DEAD:
            warnings.append(
                f"{name} is dead: {settled.share[i]:.1%} of all contribution. It was dropped, or "
                "its encoder has not learned; nothing is lost without it"
            )
        elif settled.share[i] > _DOMINATING and alive.sum() > 1:
            warnings.append(
                f"{name} dominates: {settled.share[i]:.0%} of all contribution. The others hardly "
                "count; check that they are scaled and present"
            )
        if helps_in_training[i] and later.worth[i] < -_FIRM * later.error[i]:
            warnings.append(
                f"{name} helps in training ({training.worth[i]:+.4f}) and hurts later "
                f"({later.worth[i]:+.4f}): over-fitting, a leak or a shortcut; look at where "
                "it comes from"
            )
    useless = [
        n
        for n, w, e in zip(names, settled.earned, settled.earned_error, strict=True)
        if w < _FIRM * e
    ]
    if settled.entropy > _EQUAL and useless:
        warnings.append(
            f"the modalities are weighted alike (entropy {settled.entropy:.3f} of 1), though on "
            f"later rows {', '.join(useless)} earn nothing: feature-dimension contribution "
            f"variance across modalities is {settled.across:.2f}. With model.fusion = distilled "
            "they would be dropped, if they stay so"
        )
    return warnings
