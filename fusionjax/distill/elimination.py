"""Selects modalities and weighs features by their effect on the meta set's loss."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import betainc
from jaxtyping import Array, Bool, Float, Int, Shaped

LEVEL = 0.05  # of one question: the chance that a modality of noise stays
FALSE_SHARE = 0.2  # of those that stay, the expected share of noise at most
PLACEBOS = 8  # samples that stand in for each sample's own, one after another
_HORIZONS = 4  # sessions of so many horizons for one cosine ...
_FEWEST = 3  # ... and no fewer cosines, as in ``scores.intervals``
_SHOWN = 126  # sessions, half a year, that must show a modality before it is judged

# Loss of each sample with only the modalities that are 1 in the first argument; those that are 1
# in the second are taken from the sample so many rows before, which is the third.
LossOf = Callable[[Float[Array, "M"], Float[Array, "M"], Int[Array, ""] | int], Float[Array, "N"]]


class Sessions(NamedTuple):
    """The sessions of samples, as cosines over them: what an error of a mean is taken from.

    The error is that of ``scores.intervals.cosine_error``. Labels that overlap and stocks that
    move together do not count as evidence of their own.
    """

    waves: Float[Array, "N C"]  # each sample's session in each cosine
    late: Float[Array, "N"]  # 1 in the later half of the sessions

    @staticmethod
    def of(session: Int[np.ndarray, "N"], horizon: int) -> "Sessions":
        """Of sessions numbered from 0 in time order, and the horizon of the labels in sessions."""
        count = int(session.max()) + 1
        cosines = max(min(_FEWEST, count - 1), count // (_HORIZONS * horizon), 1)
        phase = np.pi * np.outer(session + 0.5, np.arange(1, cosines + 1)) / count
        late = session > (count - 1) // 2
        return Sessions(jnp.float32(math.sqrt(2) * np.cos(phase)), jnp.float32(late))

    def mean_error(
        self, x: Float[Array, "N"], weight: Float[Array, "N"]
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """The weighted mean and its standard error."""
        total = jnp.maximum(weight.sum(), 1)
        mean = (x * weight).sum() / total
        waves = ((x - mean) * weight) @ self.waves
        return mean, jnp.sqrt(jnp.square(waves).mean()) / total

    def chance(self, x: Float[Array, "N"], weight: Float[Array, "N"]) -> Float[Array, ""]:
        """One-sided, of a mean so large if the true one is 0 (Student's t)."""
        mean, error = self.mean_error(x, weight)
        t = jnp.where(error > 0, mean / jnp.maximum(error, 1e-30), jnp.sign(mean) * 1e6)
        freedom = self.waves.shape[1]
        beyond = betainc(freedom / 2, 0.5, freedom / (freedom + t**2)) / 2
        return jnp.where(t > 0, beyond, 1 - beyond)


class Rises(NamedTuple):
    """How much each modality's absence costs each sample, in nats."""

    without: Float[Array, "M N"]  # rise of the loss without it
    earned: Float[Array, "M N"]  # with other samples' in its place, mean of the placebos


class Worth(NamedTuple):
    """What each modality does for the loss of later samples, in nats.

    Attributes:
      worth: rise of the mean loss without it.
      earned: rise with other samples' in its place: about 0 for noise, which may be missed merely
        because it damps the others.
      error: standard error of ``earned``.
      chance: that noise would have earned as much. 1 where a one-sided test at ``LEVEL`` finds
        that it harms: by the rise without it, or by either rise in the later half of the sessions,
        as an effect that has ended is of no use later.
    """

    worth: Float[Array, "M"]
    earned: Float[Array, "M"]
    error: Float[Array, "M"]
    chance: Float[Array, "M"]

    @staticmethod
    def of(rises: Rises, weight: Float[Array, "N"], sessions: Sessions) -> "Worth":
        """From rises that count ``weight`` each."""

        def one(without: Float[Array, "N"], earned: Float[Array, "N"]) -> Worth:
            worth, _ = sessions.mean_error(without, weight)
            mean, error = sessions.mean_error(earned, weight)
            late = weight * sessions.late
            harms = [
                sessions.chance(-x, w) < LEVEL
                for x, w in ((without, weight), (without, late), (earned, late))
            ]
            chance = jnp.where(jnp.stack(harms).any(), 1.0, sessions.chance(earned, weight))
            return Worth(worth, mean, error, chance)

        return jax.vmap(one)(*rises)


def measure(loss_of: LossOf, used: Float[Array, "M"], which: Float[Array, "M"]) -> Rises:
    """The rises of the modalities that are 1 in ``which``, each beside those that are 1 in
    ``used``; 0 of the others. Rows are in time order."""
    count = used.shape[0]
    none = jnp.zeros(count)

    def one(this: Float[Array, "M"]) -> Rises:
        own = jnp.maximum(used, this)
        base = loss_of(own, none, 0)
        shifts = (jnp.arange(1, PLACEBOS + 1) * base.shape[0]) // (PLACEBOS + 1)
        placebo = jax.lax.map(lambda shift: loss_of(own, this, shift), shifts).mean(0)
        return Rises(loss_of(own - this, none, 0) - base, placebo - base)

    def one_if_wanted(this: Float[Array, "M"]) -> Rises:
        nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(one, this))
        return jax.lax.cond((this * which).any(), one, lambda _: nothing, this)

    return jax.lax.map(one_if_wanted, jnp.eye(count))


def eliminate(
    loss_of: LossOf, asked: Float[Array, "M"], forced: Float[Array, "M"], sessions: Sessions
) -> tuple[Float[Array, "M"], Rises, Worth]:
    """Backward elimination: drops the least useful modality until all that remain are needed.

    A modality is needed if noise would have earned as much with a chance of at most ``limit``. As
    the limit falls with the number that remain, this is the procedure of Benjamini & Hochberg
    (1995) from its top, where the others are asked anew after each drop. The last one stays.

    Args:
      loss_of: see ``LossOf``.
      asked: 1 for the modalities that may go.
      forced: 1 for those that stay whatever they are worth. The rest are not used.
      sessions: of the samples.

    Returns:
      The mask of what is kept, and of each modality what it was worth when it was last asked.
    """
    count, weight = asked.shape[0], jnp.ones(sessions.late.shape)

    def drop_one(carry: tuple) -> tuple:
        used, rises, _ = carry
        new = measure(loss_of, used, used)
        rises = jax.tree.map(lambda a, b: jnp.where(used[:, None] > 0, a, b), new, rises)
        worth, open_ = Worth.of(rises, weight, sessions), used * asked * (1 - forced)
        chance = jnp.where(open_ > 0, worth.chance, -1.0)
        least = jnp.where(chance >= chance.max(), worth.worth, jnp.inf).argmin()
        drop = (chance.max() > limit(open_.sum(), asked.sum())) & (used.sum() > 1)
        return jnp.where(drop, used * (1 - jax.nn.one_hot(least, count)), used), rises, drop

    used = jnp.maximum(asked, forced)
    nothing = Rises(*jnp.zeros((2, count, weight.shape[0])))
    used, rises, _ = jax.lax.while_loop(lambda c: c[2], drop_one, (used, nothing, used.any()))
    return used, rises, Worth.of(rises, weight, sessions)


def limit(remaining: Any, asked: Any) -> Float[Array, ""]:
    """The chance of noise up to which the least useful of the modalities that remain stays."""
    return jnp.minimum(LEVEL, FALSE_SHARE * remaining / jnp.maximum(asked, 1))


def step_up(chance: Float[np.ndarray, "M"]) -> Bool[np.ndarray, "M"]:
    """Which of the modalities asked stay by their chances alone, see ``eliminate``."""
    ranked, count = np.sort(chance), len(chance)
    passed = [n for n in range(1, count + 1) if ranked[n - 1] <= limit(np.float32(n), count)]
    return chance <= (ranked[passed[-1] - 1] if passed else -1.0)


def least_sessions(horizon: int) -> int:
    """Sessions below which evidence does not suffice."""
    return _FEWEST * _HORIZONS * horizon


def enough_shown(
    present: Bool[np.ndarray, "N M"], session: Shaped[np.ndarray, "N"]
) -> Bool[np.ndarray, "M"]:
    """Which modalities enough sessions (days, or numbers) show to be judged.

    Half a year of sessions, or half as many as show the modality that is seen most.
    """
    days = np.array([len(np.unique(session[there])) for there in present.T])
    return days >= np.clip(days.max(initial=0) / 2, 1, _SHOWN)


def feature_weights(kappa: Float[Array, "N M D"], cost: float) -> Float[Array, "M D"]:
    """Weights from 0 to 1, by the rise of the meta set's loss without each feature.

    ``v / (v + cost/D)``, relative to the modality's best feature. v is the loss rise when a feature
    goes, to second order in its gain: ``E[κ'] + E[κ²]/2``, the squared slope standing for the
    curvature (Fisher; as in optimal brain damage, LeCun et al., 1990). κ' is the slope at the
    common scale of all features that suits the meta set best: ``E[κ'] = E[κ] - s·E[κ·Σκ]`` with
    ``s = E[Σκ] / E[(Σκ)²]``, one Newton step. A feature by which noise was fitted has v < 0 and
    gets 0; a modality none of whose features has v > 0 keeps them all.

    Args:
      kappa: contributions of the meta samples, see ``contribution.contributions``.
      cost: loss reduction in nats at which a modality's features together get half weight.
    """
    total = kappa.sum((1, 2), keepdims=True)
    scale_step = total.mean() / jnp.maximum((total**2).mean(), 1e-12)
    slope = kappa.mean(0) - scale_step * (kappa * total).mean(0)
    worth = jnp.maximum(slope + (kappa**2).mean(0) / 2, 0.0)
    weight = worth / (worth + cost / kappa.shape[2])
    best = weight.max(1, keepdims=True)
    return jnp.where(best > 0, weight / jnp.maximum(best, 1e-12), 1.0)
