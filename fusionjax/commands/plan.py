"""Compiles a config's training step for a cluster that is not there, and prints its costs.

fusionjax plan --config=h100_64        # memory, collectives, FLOPs, estimate
fusionjax plan --config=h100_64 --devices=8,64,512    # does it scale?
fusionjax plan --config=h100_64 --against=model.fusion=equal    # ratios
fusionjax plan --config=h100_64 --failures    # goodput of a year, simulated
Needs the extra cuda12 (make plan installs it), no GPU. Status 2 where the plan does not fit.
"""

from pathlib import Path

from absl import flags

from fusionjax import app
from fusionjax.config import Config
from fusionjax.errors import InputError

_DEVICES = flags.DEFINE_list("devices", [], "Plan for these numbers of devices, side by side")
_FAILURES = flags.DEFINE_bool("failures", False, "Simulate a year of failures instead")
_AGAINST = flags.DEFINE_multi_string("against", [], "key=value: also plan a variant, and compare")


def main(config: Config) -> None:
    from fusionjax.config.variant import compared
    from fusionjax.parallel.cluster import H100
    from fusionjax.telemetry import CONSOLE, say
    from fusionjax.train import plan_table
    from fusionjax.train.plan import make_plan, scaled, state_bytes, uneven

    if _FAILURES.value:
        CONSOLE.print(plan_table.failures(state_bytes(config)))
        return
    configs = [scaled(config, n) for n in _DEVICES.value] or [config]
    if _AGAINST.value:
        configs.append(compared(configs[0], _AGAINST.value))
    plans = [make_plan(c, H100) for c in configs]
    if len(plans) == 1:
        tables = plan_table.for_screen(plans[0], H100)
    elif _AGAINST.value:
        tables = plan_table.compared(plans, configs)
    else:
        tables = plan_table.side_by_side(plans, H100)
    for table in tables:
        CONSOLE.print(table)
    for plan in plans:
        say(f"written to {plan.save(Path('runs') / config.name)}")
    problems = [f"{p.devices} devices: {line}" for p in plans for line in p.problems]
    if len(_DEVICES.value) > 1:
        problems += uneven(plans[: len(_DEVICES.value)])
    if problems:
        raise InputError("the plan does not fit:\n  " + "\n  ".join(problems))
    say(f"it fits\nnext: {app.command('train', *app.typed('devices', 'against', 'failures'))}")
