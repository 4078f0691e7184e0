"""Random streams: what is drawn follows from a seed and the name of its purpose.

A purpose's name is hashed into the stream (the hash does not change between processes or versions),
so that two purposes share no draw, and neither do two seeds: seed s + 1 is not seed s's second
stream.
"""

import zlib

import jax
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Key


def generator(seed: int, purpose: str, *position: int) -> np.random.Generator:
    """The host's generator of a purpose; ``position`` tells its parts apart, as epochs."""
    return np.random.default_rng(_sequence(seed, purpose, position))


def sub_seed(seed: int, purpose: str, *position: int) -> int:
    """A seed in [0, 2³¹) for something that takes one, as an update of a run."""
    return int(_sequence(seed, purpose, position).generate_state(1)[0] >> 1)


def key(seed: ArrayLike, purpose: str) -> Key[Array, ""]:
    """The device's key of a purpose."""
    return branch(jax.random.key(seed), purpose)


def branch(parent: Key[Array, ""], purpose: str) -> Key[Array, ""]:
    """A key's part for one purpose; the key itself is then used for nothing else."""
    return jax.random.fold_in(parent, _number(purpose))


def _sequence(seed: int, purpose: str, position: tuple[int, ...]) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed, spawn_key=(_number(purpose), *position))


def _number(purpose: str) -> int:
    return zlib.crc32(purpose.encode())
