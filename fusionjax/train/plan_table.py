"""Plans as tables for a terminal."""

import numpy as np
from rich.table import Table

from fusionjax.config import Config
from fusionjax.parallel.cluster import Gpu
from fusionjax.parallel.failures import YEAR, Reliability, best_interval, simulated
from fusionjax.train.plan import Plan

FLOPS_BAR, MEMORY_BAR = 1.15, 1.10  # largest ratio of a plan to its variant
_GB, _T = 1e9, 1e12
_YEARS = 20


def for_screen(plan: Plan, gpu: Gpu) -> list[Table]:
    """One plan: its costs, and its collectives."""
    mesh = " × ".join(f"{a} {n}" for a, n in plan.mesh.items())
    table = _table(f"{plan.name} on {plan.devices} {gpu.name}: {mesh}", ("", ""))
    ordinary, updating = plan.seconds
    lines = {
        "parameters": f"{plan.parameters:,}",
        "samples a step": f"{plan.rows:,}",
        "memory a device: arguments + temporary": f"{plan.arguments / _GB:.1f} + "
        f"{plan.temporary / _GB:.1f} GB",
        "memory a device: peak": f"{plan.peak / _GB:.1f} of {gpu.memory / _GB:.0f} GB",
        "matrix FLOPs a device and step": f"{plan.flops / _T:.1f} T, of them "
        f"{plan.model_flops / _T:.1f} T of the model; {plan.weights_flops / _T:.1f} T more where "
        "the fusion weights are updated",
        "model FLOPs a sample": f"{plan.model_flops * plan.devices / plan.rows / _T:.1f} T",
        "sent between nodes": f"{plan.network / _GB:.1f} GB a node and step, "
        f"{plan.network / plan.gradient:.2f} × the gradients' bytes",
        "state whose memory is reused": f"{plan.donated[0]} of {plan.donated[1]} arrays",
        "flash attention kernels a step": f"{plan.attention_kernels:.0f} (cuDNN)",
        "program": plan.digest,
        "estimated step": f"{ordinary:.2f} s, of which {plan.exposed:.2f} s wait for collectives; "
        f"{updating:.2f} s where the fusion weights are updated",
        "estimated MFU": f"{plan.mfu(gpu.flops):.0%}",
    }
    for name, value in lines.items():
        table.add_row(name, value)
    table.caption = (
        "An estimate, no measurement: each kernel at the slower of its arithmetic at "
        f"{gpu.flops_reached:.0%} of {gpu.flops / _T:.0f} TFLOP/s and its bytes at "
        f"{gpu.memory_reached:.0%} of {gpu.memory_rate / _T:.2f} TB/s; collectives by rings at "
        f"{gpu.links_reached:.0%} of {gpu.link_rate / _GB:.0f} GB/s inside a node and of "
        f"{gpu.network_rate / _GB:.0f} GB/s a GPU between nodes, beside the kernels as the "
        "compiler scheduled them; no launch overhead, no straggler, data always ready."
    )
    columns = ("", "along", "over", "times", "GB sent")
    collectives = _table("collectives of an ordinary step", columns)
    for t in plan.traffic:
        collectives.add_row(t.kind, t.axes, t.link, f"{t.times:.0f}", f"{t.sent / _GB:.3f}")
    return [table, collectives]


def side_by_side(plans: list[Plan], gpu: Gpu) -> list[Table]:
    """Plans for more and more devices at the same rows a device: most columns should stay flat."""
    table = _table(
        "the same work a device (GB and TFLOPs a device and step; seconds and MFU are estimates)",
        ("devices", "mesh", "samples", "peak", "TFLOPs", "NVLink", "network", "s", "MFU"),
    )
    for p in plans:
        table.add_row(
            str(p.devices),
            " × ".join(map(str, p.mesh.values())),
            f"{p.rows:,}",
            f"{p.peak / _GB:.1f}",
            f"{p.flops / _T:.1f}",
            f"{p.sent('NVLink') / _GB:.2f}",
            f"{p.sent('network') / _GB:.2f}",
            f"{p.seconds[0]:.2f}",
            f"{p.mfu(gpu.flops):.0%}",
        )
    return [table]


def compared(plans: list[Plan], configs: list[Config]) -> list[Table]:
    """A plan beside its variant: FLOPs over the whole run, and peak memory."""
    ours, theirs = plans
    table = _table("over the variant", ("", "ours", "variant's", "ratio", "bar"))
    flops = [p.mean_flops(c) / _T for p, c in zip(plans, configs, strict=True)]
    rows: tuple[tuple[str, float, float, float], ...] = (
        ("TFLOPs a device, mean step of the run", flops[0], flops[1], FLOPS_BAR),
        ("TFLOPs a device, ordinary step", ours.flops / _T, theirs.flops / _T, FLOPS_BAR),
        ("peak GB a device", ours.peak / _GB, theirs.peak / _GB, MEMORY_BAR),
    )
    for name, a, b, bar in rows:
        table.add_row(name, f"{a:.2f}", f"{b:.2f}", f"{a / b:.3f}", f"≤ {bar:.2f}")
    return [table]


def failures(state: float) -> Table:
    """Goodput of a year by devices and checkpoint interval, simulated; Young's best interval."""
    r, minutes = Reliability(), (2, 10, 30, 60, 240)
    columns = ("devices", "failures a year", "save", "back after", "best interval")
    table = _table(
        f"goodput of a year, a state of {state / _GB:.0f} GB",
        (*columns, *(f"every {m} min" for m in minutes)),
    )
    for devices in (8, 64, 512, 1024, 4096):
        nodes = devices // 8
        between, save = r.between(devices), r.transfer(state, nodes)
        again = r.again(state, nodes)
        goodput = (
            np.mean([simulated(60.0 * m, save, between, again, seed=s) for s in range(_YEARS)])
            for m in minutes
        )
        table.add_row(
            f"{devices:,}",
            f"{YEAR / between:.0f}",
            f"{save:.1f} s",
            f"{again / 60:.1f} min",
            f"{best_interval(save, between) / 60:.0f} min",
            *(f"{g:.4f}" for g in goodput),
        )
    table.caption = (
        f"Simulated, {_YEARS} years each: a GPU fails once in {r.device_hours:,.0f} hours (Llama "
        f"3: 419 interruptions of 16,384 H100s in 54 days), {r.write_rate / _GB:.0f} GB/s of disk "
        f"a node, {r.noticed:.0f} s until it is noticed, {r.requeue:.0f} s to be scheduled again, "
        f"{r.start:.0f} s to start; training stands still for a save, which ours makes in the "
        "background."
    )
    return table


def _table(title: str, columns: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", caption_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i < 3 else "right")
    return table
