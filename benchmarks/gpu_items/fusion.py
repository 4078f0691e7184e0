"""Item 6: what the learned fusion costs beside equal weights, in alternating blocks of steps."""

import numpy as np

from fusionjax.train.plan import share_of_moves
from gpu_items.bench import Bench
from gpu_items.configs import large
from gpu_items.steps import Steps

GOAL = 1.05


def measure(bench: Bench) -> None:
    """h100_1 with fusion distilled and with equal, on the same random rows."""
    config = large(bench)
    ours, equal = Steps(config), Steps(large(bench, model__fusion="equal"))
    block = 1 if bench.rehearse else 4
    kinds = ((ours, False), (equal, False), (ours, True))
    for side, with_update in kinds:
        side.run(1, with_update=with_update)
    spent = np.empty((bench.repeats(), len(kinds)))
    for n, row in enumerate(spent):
        for i in (0, 1, 2) if n % 2 else (2, 1, 0):
            side, with_update = kinds[i]
            row[i] = side.run(block, with_update=with_update)
    rest, theirs, move = spent.T
    share = share_of_moves(config)
    bench.figure("equal weights: step", theirs, "s")
    bench.figure("distilled: ordinary step, ratio", rest / theirs, "")
    bench.figure("distilled: step with a fusion-weight update, ratio", move / theirs, "")
    bench.figure(
        "distilled: mean step of the run, ratio",
        (move * share + rest * (1 - share)) / theirs,
        "",
        at_most=GOAL,
        note=f"φ moves in {share:.1%} of the steps",
    )
    bench.figure(
        "distilled: peak memory by the compiler, ratio",
        ours.planned_peak / equal.planned_peak,
        "",
        at_most=1.1,
    )
