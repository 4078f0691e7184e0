"""A command of launch/ whose third update never comes back from the device; for accidents.py.

python -m gpu_items.hang launch/train.py FLAGS
"""

import itertools
import runpy
import sys
import time
from typing import Any
from unittest import mock

import jax
import numpy as np

from fusionjax.train.program import Program

_step, _calls = Program.step, itertools.count(1)


def _wait() -> np.int32:
    time.sleep(1e6)
    return np.int32(0)


def step(self: Program, *args: Any) -> Any:
    """``Program.step``; in its third call the device first waits for the host, which sleeps.

    No kernel spins: the card stays as it is.
    """
    if next(_calls) == 3:
        shape = jax.ShapeDtypeStruct((), np.int32)
        jax.block_until_ready(jax.jit(lambda: jax.pure_callback(_wait, shape))())
    return _step(self, *args)


if __name__ == "__main__":
    mock.patch.object(Program, "step", step).start()
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
