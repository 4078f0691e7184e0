"""What later sessions said of each modality: kept with a run, and added to by its fine-tunings."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from fusionjax.distill.elimination import Rises, Sessions, Worth, least_sessions, step_up


@dataclasses.dataclass(frozen=True)
class Evidence:
    """The rises of one modality by session, in time order.

    Attributes:
      without: sum over the session's samples of the rise without the modality, in nats.
      earned: the same with other samples' in its place.
      samples: their number.
    """

    without: Float[np.ndarray, "S"]
    earned: Float[np.ndarray, "S"]
    samples: Float[np.ndarray, "S"]

    def __len__(self) -> int:
        return len(self.samples)

    def then(self, later: "Evidence", window: int) -> "Evidence":
        """The newest ``window`` sessions of this evidence and what came later."""
        pairs = zip(self._fields(), later._fields(), strict=True)
        return Evidence(*(np.concatenate(pair)[-window:] for pair in pairs))

    def worth(self, horizon: int) -> Worth:
        """What the modality is worth, as floats; ``horizon`` of the labels, in sessions."""
        rises = Rises(*(jnp.array([x / self.samples]) for x in (self.without, self.earned)))
        sessions = Sessions.of(np.arange(len(self)), horizon)
        worth = Worth.of(rises, jnp.array(self.samples), sessions)
        return Worth(*(x[0] for x in jax.device_get(worth)))

    def to_json(self) -> dict[str, list[float]]:
        """As lists of six digits."""
        return {
            f.name: [float(f"{x:.6g}") for x in getattr(self, f.name)]
            for f in dataclasses.fields(self)
        }

    @staticmethod
    def from_json(stored: Mapping[str, list[float]]) -> "Evidence":
        return Evidence(**{name: np.array(x, float) for name, x in stored.items()})

    def _fields(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.without, self.earned, self.samples


NOTHING = Evidence(*np.zeros((3, 0)))


def by_session(rises: Rises, session: Int[np.ndarray, "N"]) -> list[Evidence]:
    """The evidence of each modality; sessions are numbered from 0 in time order."""
    samples = np.bincount(session).astype(float)

    def sums(x: Float[np.ndarray, "N"]) -> Float[np.ndarray, "S"]:
        return np.bincount(session, x)

    rows = zip(np.asarray(rises.without), np.asarray(rises.earned), strict=True)
    return [Evidence(sums(without), sums(earned), samples) for without, earned in rows]


def ask_again(
    evidence: Mapping[str, Evidence],
    kept: Mapping[str, bool],
    forced: tuple[str, ...],
    horizon: int,
) -> tuple[dict[str, bool], dict[str, Worth]]:
    """Which modalities are kept by all evidence, and what those that it suffices for are worth.

    As in the elimination, but none is measured anew without those that go. A modality with fewer
    sessions than ``least_sessions`` stays as it is, as do the forced ones, which are kept.
    """
    worth = {
        name: e.worth(horizon) for name, e in evidence.items() if len(e) >= least_sessions(horizon)
    }
    judged = [name for name in worth if name not in forced]
    stays = step_up(np.array([worth[name].chance for name in judged]))
    now = {**kept, **dict(zip(judged, map(bool, stays), strict=True))}
    now |= dict.fromkeys(forced, True)
    if not any(now.values()):  # the last one stays
        now[min(judged, key=lambda name: (worth[name].chance, -worth[name].worth))] = True
    return now, worth


def states(
    names: tuple[str, ...], kept: Any, judged: Any, forced: tuple[str, ...]
) -> dict[str, str]:
    """Each modality as a word: forced, kept, dropped, or waiting for evidence."""
    words = {}
    for name, stays, asked in zip(names, kept, judged, strict=True):
        word = "kept" if stays else "dropped" if asked else "waiting"
        words[name] = "forced" if name in forced else word
    return words
