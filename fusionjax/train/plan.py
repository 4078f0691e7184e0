"""What a training step needs on a cluster, read from its compiled program.

Nothing runs. Memory, collectives and arithmetic are exact; times are a roofline estimate over the
compiler's schedule, at assumed shares of the machine's rates.
"""

import collections
import dataclasses
import json
import math
import re
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fusionjax import files
from fusionjax.config import Config, MeshConfig
from fusionjax.data.windows import dummy_batch
from fusionjax.distill import weights
from fusionjax.errors import InputError
from fusionjax.parallel import rules
from fusionjax.parallel.cluster import Gpu, absent_devices
from fusionjax.parallel.hlo import Collective, Kernel, Module
from fusionjax.parallel.mesh import make_mesh
from fusionjax.train.program import Program
from fusionjax.train.state import init_state

PEAK_SHARE = 0.9  # of a device's memory that a plan may use
TRAFFIC_BAR = 2.0  # most bytes between nodes a step, relative to those of the gradients
FLAT = 1.05  # largest ratio of bytes a device between plans for few devices and many
_SMALL = 64e6  # bytes; larger parameters must be split
_LARGEST = 8  # buffers named where a plan does not fit
_META_SESSIONS = 500  # of the training data; it changes one constant of the program


@dataclasses.dataclass(frozen=True)
class Traffic:
    """The collectives of one kind along the same axes, a step."""

    kind: str
    axes: str
    link: str  # NVLink, or network where the group spans nodes
    times: float
    sent: float  # bytes a device


@dataclasses.dataclass(frozen=True)
class Plan:
    """What one step takes. Bytes and operations are a device's unless they say otherwise.

    Attributes:
      name: of the config.
      devices, nodes: of the cluster.
      parameters: of the model.
      rows: samples a step, over all devices.
      arguments, temporary, peak: bytes.
      flops: matrix products, as compiled, of an ordinary step.
      model_flops: those of the model, without recomputation and the update of fusion weights.
      weights_flops: further ones of a step that updates the fusion weights.
      traffic: collectives of an ordinary step.
      network: bytes that a node sends to others a step.
      gradient: bytes of all gradients, in float32.
      donated: arrays of the state whose memory the new state reuses, and how many it has.
      attention_kernels: launches of flash attention a step.
      seconds: of an ordinary step and of one that updates the fusion weights, estimated.
      exposed: seconds of an ordinary step spent waiting for collectives, estimated.
      digest: of the program before it was compiled.
      problems: in words; empty where the plan fits.
    """

    name: str
    gpu: str
    devices: int
    nodes: int
    mesh: dict[str, int]
    parameters: int
    rows: int
    arguments: float
    temporary: float
    peak: float
    flops: float
    model_flops: float
    weights_flops: float
    traffic: tuple[Traffic, ...]
    network: float
    gradient: float
    donated: tuple[int, int]
    attention_kernels: float
    seconds: tuple[float, float]
    exposed: float
    digest: str
    problems: tuple[str, ...]

    def mfu(self, peak_flops: float) -> float:
        """Model FLOPs utilisation of an ordinary step (Chowdhery et al., PaLM, 2022), estimated."""
        return self.model_flops / peak_flops / self.seconds[0]

    def sent(self, link: str) -> float:
        """Bytes a device and step over one kind of link, NVLink or network."""
        return float(sum(t.sent for t in self.traffic if t.link == link))

    def mean_flops(self, config: Config) -> float:
        """Mean FLOPs of the run's steps, some of which update the fusion weights."""
        return self.flops + self.weights_flops * share_of_moves(config)

    def save(self, folder: Path) -> Path:
        """Writes it as JSON; returns the file's path."""
        path = folder / f"plan_{self.devices}.json"
        files.write_text(path, json.dumps(dataclasses.asdict(self), indent=2))
        return path


def share_of_moves(config: Config) -> float:
    """The share of a run's steps that update the fusion weights."""
    if not weights.has_meta_set(config):
        return 0.0
    due = jax.vmap(lambda step: weights.is_update_step(config, step))(
        jnp.arange(config.train.last_step)
    )
    return float(np.mean(np.asarray(due)))


def scaled(config: Config, devices: int | str) -> Config:
    """The config for another number of devices: other replicas, the same rows a device.

    Raises:
      InputError: ``devices`` is no multiple of a replica's, or the config's mesh is left open.
    """
    m = config.mesh
    inside = m.fsdp * m.tensor  # devices of a replica
    count = int(devices) if str(devices).isdecimal() else 0
    if not count or count % inside:
        raise InputError(
            f"--devices: {devices!r} is no multiple of {inside}, the devices of a replica "
            f"(config.mesh.fsdp × tensor); give for example {inside},{8 * inside}"
        )
    rows = config.train.global_batch_size * count // (_replicas(config.mesh) * inside)
    return config.override({"mesh.data": count // inside, "train.global_batch_size": rows})


def _replicas(mesh: MeshConfig) -> int:
    if mesh.data < 1:
        raise InputError(
            f"config.mesh.data is {mesh.data}, which takes all devices; a plan needs a "
            "number of replicas, for example --config.mesh.data=8"
        )
    return mesh.data


def state_bytes(config: Config) -> float:
    """Bytes of a checkpoint of this config."""
    shapes = jax.eval_shape(partial(init_state, config), jnp.uint32(0), dummy_batch(config, 1))
    return float(sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(shapes)))


def make_plan(config: Config, gpu: Gpu) -> Plan:
    """Compiles the step for the config's mesh of ``gpu`` and reads its costs.

    Raises:
      InputError: the compiler is not installed, or batch or parameters do not divide.
    """
    m = config.mesh
    count = _replicas(config.mesh) * m.fsdp * m.tensor
    nodes = math.ceil(count / gpu.per_node)
    mesh = make_mesh(m, absent_devices(gpu, nodes)[:count])
    program = Program(config, mesh, dummy_batch(config, 1), _META_SESSIONS)
    compiled = program.compiled_step()
    text = compiled.as_text() or ""
    memory: Any = compiled.memory_analysis()
    ordinary, updating = Module(text), Module(text, costlier=True)
    shape = dict(mesh.shape)
    seconds = tuple(estimated_seconds(x, gpu) for x in (ordinary, updating))
    flops, with_weights = (sum(k.runs * k.flops for k in x.kernels) for x in (ordinary, updating))
    params = jax.tree.leaves(program.abstract_state.params)
    gradient = float(sum(4 * math.prod(x.shape) for x in params))
    plan = Plan(
        name=config.name,
        gpu=gpu.name,
        devices=count,
        nodes=nodes,
        mesh=shape,
        parameters=sum(math.prod(x.shape) for x in params),
        rows=config.train.global_batch_size,
        arguments=float(memory.argument_size_in_bytes),
        temporary=float(memory.temp_size_in_bytes),
        peak=float(memory.peak_memory_in_bytes),
        flops=flops,
        model_flops=ordinary.model_flops,
        weights_flops=with_weights - flops,
        traffic=_traffic(ordinary.collectives, shape, gpu),
        network=sum(c.runs * c.between_nodes(gpu.per_node) for c in ordinary.collectives),
        gradient=gradient,
        donated=(ordinary.aliased, len(jax.tree.leaves(program.abstract_state))),
        attention_kernels=sum(k.runs for k in ordinary.kernels if k.fused),
        seconds=(seconds[0], seconds[1]),
        exposed=seconds[0] - estimated_seconds(ordinary, gpu, links=False),
        digest=program.digest,
        problems=(),
    )
    problems = (*_problems(plan, gpu, text), *_unsplit(program, shape))
    return dataclasses.replace(plan, problems=problems)


def estimated_seconds(module: Module, gpu: Gpu, *, links: bool = True) -> float:
    """Estimated seconds of one call on ``gpu``, at assumed shares of its rates.

    Args:
      module: the program.
      gpu: each kernel takes the longer of its arithmetic and its memory traffic.
      links: False counts collectives as instantaneous.
    """

    def kernel_seconds(k: Kernel) -> float:
        by_flops = k.flops / (gpu.flops * gpu.flops_reached)
        return max(by_flops, k.bytes / (gpu.memory_rate * gpu.memory_reached))

    def collective_seconds(c: Collective) -> float:
        rate = gpu.network_rate if c.crosses(gpu.per_node) else gpu.link_rate
        return links * c.sent / (rate * gpu.links_reached)

    return module.seconds(kernel_seconds, collective_seconds)


def uneven(plans: list[Plan]) -> list[str]:
    """Bytes a device that grow with the number of devices, in words.

    A sum over n nodes sends (n - 1)/n of its limit for many; the limits are compared.
    """
    bytes_ = {
        "peak memory": [p.peak for p in plans],
        "traffic inside a node": [p.sent("NVLink") for p in plans],
        "traffic between nodes": [
            p.sent("network") * p.nodes / (p.nodes - 1) for p in plans if p.nodes > 1
        ],
    }
    return [
        f"{name} does not stay flat: {', '.join(f'{x / 1e9:.2f}' for x in sizes)} GB a device, "
        f"more than {FLAT - 1:.0%} apart; something grows with the replicas (see the collectives "
        "of each plan alone, --devices=N)"
        for name, sizes in bytes_.items()
        if sizes and max(sizes) > FLAT * min(sizes)
    ]


def _traffic(collectives: list[Collective], mesh: dict[str, int], gpu: Gpu) -> tuple[Traffic, ...]:
    times: dict[tuple[str, str, str], float] = collections.defaultdict(float)
    sent: dict[tuple[str, str, str], float] = collections.defaultdict(float)
    for c in collectives:
        key = c.kind, c.axes(mesh), "network" if c.crosses(gpu.per_node) else "NVLink"
        times[key] += c.runs
        sent[key] += c.runs * c.sent
    rows = [Traffic(*key, times[key], sent[key]) for key in times]
    return tuple(sorted(rows, key=lambda t: -t.sent))


def _problems(plan: Plan, gpu: Gpu, text: str) -> list[str]:
    problems = []
    limit = PEAK_SHARE * gpu.memory
    if plan.peak > limit:
        largest = "\n".join(f"    {line}" for line in _largest(text))
        problems.append(
            f"needs {plan.peak / 1e9:.1f} GB of a device that should give {limit / 1e9:.0f} "
            f"({PEAK_SHARE:.0%} of {gpu.memory / 1e9:.0f}); its largest buffers are\n{largest}\n"
            "    Double config.train.grad_accum_steps, set config.model.remat to layer, or split "
            "parameters further (config.mesh.fsdp)"
        )
    for t in plan.traffic:
        if t.kind == "all-to-all":
            problems.append(f"{t.times:.0f} all-to-all along {t.axes}: activations are resharded")
        if t.link == "network" and t.kind in ("all-gather", "reduce-scatter") and t.sent > _SMALL:
            problems.append(
                f"{t.kind} along {t.axes} crosses nodes ({t.sent / 1e9:.2f} GB a device): "
                f"config.mesh.fsdp × tensor should divide {gpu.per_node}"
            )
    if plan.network > TRAFFIC_BAR * plan.gradient:
        problems.append(
            f"a node sends {plan.network / 1e9:.1f} GB a step, more than {TRAFFIC_BAR:.0f} times "
            f"the gradients' {plan.gradient / 1e9:.1f}: lower config.train.grad_accum_steps"
        )
    if plan.donated[0] < plan.donated[1]:
        problems.append(
            f"only {plan.donated[0]} of the state's {plan.donated[1]} arrays give their memory to "
            "the new state"
        )
    return problems


def _unsplit(program: Program, mesh: dict[str, int]) -> list[str]:
    """Large parameters that are replicated on every device."""
    if mesh["fsdp"] * mesh["tensor"] == 1:
        return []
    leaves = jax.tree_util.tree_leaves_with_path(program.abstract_state)
    return [
        f"{rules.path_name(path)} of shape {x.shape} is whole on every device; give it a rule "
        "(fusionjax/parallel/rules.py)"
        for path, x in leaves
        if math.prod(x.shape) * x.dtype.itemsize > _SMALL and not any(x.sharding.spec)
    ]


def _largest(text: str) -> list[str]:
    """The largest arrays of the program, each with its place in the model."""
    sizes: dict[str, float] = {}
    pattern = re.compile(r" = ([a-z]+)(\d+)\[([\d,]+)\].*op_name=\"([^\"]*)\"")
    for line in text.splitlines():
        if match := pattern.search(line):
            size = math.prod(int(d) for d in match[3].split(",")) * int(match[2]) / 8
            sizes[f"{match[1]}{match[2]}[{match[3]}] {match[4]}"] = size
    largest = sorted(sizes.items(), key=lambda item: -item[1])[:_LARGEST]
    return [f"{size / 1e9:6.2f} GB  {name}" for name, size in largest]
