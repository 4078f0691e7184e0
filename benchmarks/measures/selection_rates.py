"""How often the selection of modalities keeps noise, and real ones by what they are worth."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from fusionjax.distill import elimination
from fusionjax.distill.elimination import Sessions

BINS = (0.01, 0.02)  # nats: modalities worth less than the first, up to the second, more
HEADER = (
    "| world | modalities, informing | worlds | noise kept | worlds with any | share of noise in "
    "what is kept | kept of < .01 nats | .01 to .02 | more |",
    "|---|---|---|---|---|---|---|---|---|",
)
_ESTIMATION = 0.2  # standard deviation of what is learned of a modality by chance, in log odds


@dataclasses.dataclass(frozen=True)
class World:
    """Log odds as they might be learned: what is asked is the decision alone.

    Attributes:
      name: of the kind of world.
      modalities: their number.
      informing: how many of them inform.
      variance: of the log odds of each that informs; about 8 times its worth in nats.
      sessions: of the meta set.
      stocks: samples a session.
      horizon: sessions of a label; those of a stock overlap.
      correlation: between modalities that inform, and between those of noise.
      persistence: from session to session, of what a session's samples have in common.
      shared: variance that a session's samples have in common, of a modality.
    """

    name: str
    modalities: int = 10
    informing: int = 2
    variance: float = 0.081  # a bit above 8 × .01
    sessions: int = 1000
    stocks: int = 1
    horizon: int = 1
    correlation: float = 0.0
    persistence: float = 0.0
    shared: float = 0.3


@dataclasses.dataclass(frozen=True)
class Rates:
    """Counts of one kind of world.

    Attributes:
      name: of the kind.
      modalities: their number.
      informing: how many of them inform.
      worlds: how many were drawn.
      noise: share of the modalities of noise that stayed.
      any_noise: share of the worlds in which one stayed.
      false_share: mean share of noise among what stayed.
      real: share of those kept among the modalities that inform, by worth (``BINS``).
    """

    name: str
    modalities: int
    informing: int
    worlds: int
    noise: float
    any_noise: float
    false_share: float
    real: tuple[float, ...]


def worlds(numbers: tuple[int, ...]) -> list[World]:
    """The kinds of world: each number of modalities, and with 10 what makes errors hard to tell."""
    plain = [World("independent", n, k) for n in numbers for k in (2, 4)]
    return [
        *plain,
        World("correlated", correlation=0.5),
        World("eight stocks a session", sessions=250, stocks=8),
        World("labels of five sessions", stocks=2, horizon=5),
        World("the same, slow modalities", stocks=2, horizon=5, persistence=0.95),
        World("the same, alike for all stocks", stocks=2, horizon=5, persistence=0.95, shared=1.0),
        World("nothing informs", informing=0),
    ]


def row(r: Rates) -> str:
    """A row of the table."""
    parts = [r.noise, r.any_noise, r.false_share, *r.real]
    words = " | ".join("" if np.isnan(x) else f"{x:.1%}" for x in parts)
    return f"| {r.name} | {r.modalities}, {r.informing} | {r.worlds} | {words} |"


def simulated(world: World, worlds: int, seed: int) -> Rates:
    """The rates of the decision alone, on log odds that are drawn."""
    rng = np.random.default_rng([seed, 73])
    session = np.repeat(np.arange(world.sessions), world.stocks)
    sessions = Sessions.of(session, world.horizon)
    count = world.modalities

    @jax.jit
    def decide(logit: jax.Array, up: jax.Array) -> jax.Array:
        def loss_of(used: jax.Array, swapped: jax.Array, shift: Any) -> jax.Array:
            z = jnp.where(swapped > 0, jnp.roll(logit, shift, 0), logit) @ used
            return jax.nn.softplus(z) - up * z

        return elimination.eliminate(loss_of, jnp.ones(count), jnp.zeros(count), sessions)[0]

    drawn = (_draw(world, rng, session) for _ in range(worlds))
    kept = np.stack([np.asarray(decide(*x)) > 0 for x in drawn])
    worth = np.where(np.arange(count) < world.informing, world.variance / 8, 0.0)
    return rates(world.name, kept, np.tile(worth, (worlds, 1)), world.informing)


def _draw(
    world: World, rng: np.random.Generator, session: Int[np.ndarray, "N"]
) -> tuple[Float[np.ndarray, "N M"], Float[np.ndarray, "N"]]:
    """Learned log odds and labels: labels share a shock a day and, of a stock, overlap."""
    size, informing = (len(session), world.modalities), world.informing
    day = _persistent(rng.normal(size=(world.sessions, size[1])), world.persistence)[session]
    own = np.sqrt(world.shared) * day + np.sqrt(1 - world.shared) * rng.normal(size=size)
    common = rng.normal(size=(size[0], 2))[:, (np.arange(size[1]) >= informing).astype(int)]
    u = np.sqrt(world.correlation) * common + np.sqrt(1 - world.correlation) * own
    true = np.where(np.arange(size[1]) < informing, np.sqrt(world.variance), 0.0) * u
    other = _persistent(rng.normal(size=(world.sessions, size[1])), world.persistence)[session]
    # Noise is fitted as a function of random sign; of what informs, another part is.
    fitted = np.where(np.arange(size[1]) < informing, other, rng.choice([-1, 1], size[1]) * u)
    shock = _overlapping(rng.normal(size=(world.sessions, 1)), world.horizon)[session, 0]
    luck = _overlapping(rng.normal(size=(world.sessions, world.stocks)), world.horizon)
    threshold = 1.7 * luck.reshape(-1)  # close to a logistic variable
    up = true.sum(1) + 0.5 * shock > threshold
    return (true + _ESTIMATION * fitted).astype(np.float32), up.astype(np.float32)


def _persistent(x: Float[np.ndarray, "T M"], by: float) -> Float[np.ndarray, "T M"]:
    """An autoregression with these innovations, of variance 1."""
    out = x.copy()
    for t in range(1, len(x)):
        out[t] = by * out[t - 1] + np.sqrt(1 - by**2) * x[t]
    return out


def _overlapping(x: Float[np.ndarray, "T M"], horizon: int) -> Float[np.ndarray, "T M"]:
    """Sums over the ``horizon`` rows up to each (cyclically), of variance 1."""
    return np.sum([np.roll(x, i, 0) for i in range(horizon)], 0) / np.sqrt(horizon)


def rates(
    name: str, kept: Bool[np.ndarray, "W M"], worth: Float[np.ndarray, "W M"], informing: int
) -> Rates:
    """Counts what stayed; the first ``informing`` modalities inform."""
    noise, real = kept[:, informing:], kept[:, :informing]
    place = np.digitize(worth[:, :informing], BINS)
    by_worth = [real[place == i] for i in range(len(BINS) + 1)]
    return Rates(
        name,
        kept.shape[1],
        informing,
        len(kept),
        float(noise.mean()),
        float(noise.any(1).mean()),
        float((noise.sum(1) / kept.sum(1)).mean()),
        tuple(float(x.mean()) if len(x) else float("nan") for x in by_worth),
    )
