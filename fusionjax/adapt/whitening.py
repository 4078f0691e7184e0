"""Whitens a daily series, so that a detector of changes is not alarmed by its ordinary ways.

Volatility, errors and weights stay high or low for weeks although nothing has changed, and returns
come in spells. An ARMA(1, 1) describes the first: a persistent level seen through noise, which one
autocorrelation cannot describe (Ding, Granger & Engle, 1993); a moving scale takes out the second.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy import signal, stats

_CUT = 3.0  # standard deviations at which an innovation is cut: one outlier is no new level
_DECAY = 0.94  # a session, of the scale's weights (RiskMetrics, 1996)
_DOUBT = 0.1  # chance that any series is more persistent than its model
_PHI = (0.3, 0.6, 0.8, 0.9, 0.95, 0.97, 0.985, 0.99)
_GAIN = (0.02, 0.035, 0.06, 0.1, 0.17, 0.3, 0.5, 0.75)  # of a lasting change in the innovations


def _models() -> Float[np.ndarray, "K 2"]:
    """Pairs (φ, θ), from the most to the least persistent: by (1 - φ)/(1 - θ), the gain."""
    models = [(0.0, 0.0), *((phi, 0.0) for phi in _PHI)]
    models += [(phi, 1 - (1 - phi) / gain) for phi in _PHI for gain in _GAIN]
    models = [(phi, theta) for phi, theta in models if -0.3 <= theta < phi or phi == theta == 0]
    return np.array(sorted(models, key=lambda m: (1 - m[0]) / (1 - m[1])))


_MODELS = _models()


@dataclasses.dataclass
class Whitening:
    """Turns a series' standardised values into innovations, one after the other.

    Attributes:
      phi: e(t) = z(t) - phi·z(t-1) + theta·e(t-1).
      theta: see ``phi``.
      std: of e in the reference.
      size: mean of abs(e)/std in the reference.
      mean: of the innovations in the reference, after cutting; it is subtracted.
      before: the last z, e/std and moving scale; None before the first value.
    """

    phi: float
    theta: float
    std: float
    size: float
    mean: float = 0.0
    before: list[float] | None = None

    @staticmethod
    def of(z: Float[np.ndarray, "n"], series: int) -> "Whitening":
        """Fits the reference's standardised values by least squares.

        Of all models that a likelihood ratio does not refuse, the most persistent: what is taken
        for too short-lived gives false alarms, and a few hundred sessions do not tell. The level of
        that test is shared by all ``series`` that are watched together.
        """
        squares = np.array(
            [(signal.lfilter([1, -phi], [1, -theta], z)[1:] ** 2).sum() for phi, theta in _MODELS]
        )
        near = squares <= squares.min() * math.exp(stats.norm.isf(_DOUBT / series) ** 2 / len(z))
        phi, theta = _MODELS[int(np.argmax(near))].tolist()
        e = signal.lfilter([1, -phi], [1, -theta], z)[1:]
        std = float(e.std())
        result = Whitening(phi, theta, std, float(np.abs(e).mean() / std))
        result.mean = float(np.mean(result.after(z.tolist())))
        result.before = None
        return result

    @property
    def gain(self) -> float:
        """What remains of a change of level in the innovations."""
        return (1 - self.phi) / (1 - self.theta)

    def step(self, count: int) -> Float[np.ndarray, "n"]:
        """A change of level as the innovations show it: all of it at first, then less."""
        return self.gain + (1 - self.gain) * self.theta ** np.arange(count)

    def after(self, values: Sequence[float]) -> list[float]:
        """The innovations of the next values, in standard deviations, cut at three.

        In a spell of large ones they are divided by their recent size. The first value ever is its
        own innovation.
        """
        result = []
        for z in values:
            if self.before is None:
                innovation, scale = z, 1.0
            else:
                past, last, scale = self.before
                innovation = (z - self.phi * past) / self.std + self.theta * last
            result.append(min(max(innovation / max(scale, 1.0), -_CUT), _CUT) - self.mean)
            scale = _DECAY * scale + (1 - _DECAY) * abs(innovation) / self.size
            self.before = [z, innovation, scale]
        return result
