"""A command of launch/ whose third update never comes back from the device; for accidents.py.

python -m gpu_items.hang launch/train.py FLAGS
"""

import itertools
import runpy
import sys
from typing import Any
from unittest import mock

import jax

from fusionjax.train.program import Program

_step, _calls = Program.step, itertools.count(1)


def step(self: Program, *args: Any) -> Any:
    """``Program.step``, and in its third call an endless loop on the device before it."""
    if next(_calls) == 3:
        forever = jax.jit(lambda n: jax.lax.while_loop(lambda i: i >= 0, lambda i: i // 2, n))
        jax.block_until_ready(forever(jax.numpy.int32(1)))
    return _step(self, *args)


if __name__ == "__main__":
    mock.patch.object(Program, "step", step).start()
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
