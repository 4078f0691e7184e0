"""Reads a compiled program's text: arithmetic, memory traffic, collectives.

XLA's own cost analysis is not available without a device, and counts the body of a loop once. Here
every kernel counts as often as it runs.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Int

_BYTES = {"pred": 1, "bf16": 2, "f16": 2, "token": 0, "opaque": 0}  # others end in their bits
_FREE = {  # move no data
    *("parameter", "constant", "get-tuple-element", "tuple", "bitcast", "partition-id", "iota"),
    *("after-all", "copy-done", "async-done", "opt-barrier"),
}
COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
_SHAPE = re.compile(r"([a-z]+\d*[a-z0-9]*)\[([\d,]*)\]")
_HEADER = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (.*)$")


@dataclasses.dataclass(frozen=True)
class Kernel:
    """One launch on one device, and how often it happens in a step.

    Attributes:
      name: of the instruction.
      source: where in the model it comes from, as JAX named it.
      runs: launches a call of the program.
      flops: of matrix products, each launch; 2 for a multiplication and addition.
      bytes: read and written, each launch.
      fused: flash attention.
    """

    name: str
    source: str
    runs: float
    flops: float
    bytes: float
    fused: bool


@dataclasses.dataclass(frozen=True)
class Collective:
    """One exchange between devices, and how often it happens in a step.

    Attributes:
      kind: one of ``COLLECTIVES``.
      source: where in the model it comes from.
      runs: exchanges a call of the program.
      payload: bytes of the whole array, each time: what is reduced, or what is gathered.
      groups: [G, n], the devices that exchange with each other.
    """

    kind: str
    source: str
    runs: float
    payload: float
    groups: Int[np.ndarray, "G n"]

    @property
    def sent(self) -> float:
        """Bytes that a device sends, by the ring algorithms, each time."""
        n = self.groups.shape[1]
        passes = {"all-reduce": 2 * (n - 1) / n, "collective-permute": 1.0}
        return self.payload * passes.get(self.kind, (n - 1) / n)

    def crosses(self, per_node: int) -> bool:
        """Whether some group spans nodes of so many devices."""
        node = self.groups // per_node
        return bool((node != node[:, :1]).any())

    def between_nodes(self, per_node: int) -> float:
        """Bytes that the busiest node sends to others, each time.

        A group with k nodes sends from each what a ring of k would.
        """
        node = self.groups // per_node
        sent = np.zeros(int(node.max()) + 1)
        for row in node:
            members = np.unique(row)
            k = len(members)
            factor = 2 if self.kind == "all-reduce" else 1
            sent[members] += factor * (k - 1) / k * self.payload
        return float(sent.max())

    def axes(self, mesh: dict[str, int]) -> str:
        """The mesh axes that it runs along."""
        at = np.stack(np.unravel_index(self.groups, tuple(mesh.values())), -1)
        moving = (at != at[:, :1]).any((0, 1))
        return " × ".join(a for a, moves in zip(mesh, moving, strict=True) if moves) or "none"


@dataclasses.dataclass(frozen=True)
class _Instruction:
    name: str
    shape: str
    opcode: str
    operands: tuple[str, ...]
    rest: str


Computations = dict[str, list[_Instruction]]


class Module:
    """A compiled module, read from its text.

    Args:
      text: of the module.
      costlier: counts the branch with more launches of each conditional, instead of the other. In a
        step of the distilled fusion the costlier branch updates the fusion weights.

    Raises:
      ValueError: the text has a construct that this reader does not know.
    """

    def __init__(self, text: str, *, costlier: bool = False) -> None:
        self._costlier = costlier
        self._computations, self._entry = _parse(text)
        self._shapes = {i.name: i.shape for body in self._computations.values() for i in body}
        header = text[: text.index("\n")]
        # The number of inputs whose memory outputs reuse.
        self.aliased = len(re.findall(r"(?:may|must)-alias", header))
        self.kernels: list[Kernel] = []
        self.collectives: list[Collective] = []
        for i, runs in self._launches(self._entry, 1.0):
            if (kind := i.opcode.removesuffix("-start")) in COLLECTIVES:
                self.collectives.append(_collective(i, kind, runs))
            else:
                self.kernels.append(self._kernel(i, runs))

    @property
    def model_flops(self) -> float:
        """FLOPs of matrix products on a device, without recomputation."""
        return sum(k.runs * k.flops for k in self.kernels if "rematted" not in k.source)

    def seconds(
        self, kernel: Callable[[Kernel], float], collective: Callable[[Collective], float]
    ) -> float:
        """Seconds of a call, launch by launch in the compiler's order.

        Kernels run one after the other, and so do collectives, in parallel to them. A launch that
        needs a collective waits for its end.

        Args:
          kernel: seconds of one launch.
          collective: seconds of one exchange.
        """
        return self._duration(self._entry, kernel, collective)

    def _duration(
        self,
        name: str,
        kernel: Callable[[Kernel], float],
        collective: Callable[[Collective], float],
    ) -> float:
        now, free, ends = 0.0, 0.0, {}
        for i in self._computations[name]:
            kind = i.opcode.removesuffix("-start")
            if i.opcode == "while":
                body = self._duration(_called(i, "body")[0], kernel, collective)
                now = max(now + _times(i) * body, free)
            elif i.opcode == "conditional":
                now += self._duration(self._branch(i), kernel, collective)
            elif i.opcode in ("call", "async-start"):
                for b in _called(i, "(?:to_apply|calls)"):
                    now += self._duration(b, kernel, collective)
            elif kind in COLLECTIVES:
                free = max(now, free) + collective(_collective(i, kind, 1.0))
                ends[i.name] = free
                if kind == i.opcode:  # not started in the background
                    now = free
            elif i.opcode.endswith("-done"):
                now = max(now, *(ends.get(o, 0.0) for o in i.operands))
            elif i.opcode not in _FREE:
                now += kernel(self._kernel(i, 1.0))
        return now

    def _launches(self, name: str, runs: float) -> Iterator[tuple[_Instruction, float]]:
        """Every instruction that is launched, with how often it runs."""
        for i in self._computations[name]:
            if i.opcode == "while":
                yield from self._launches(_called(i, "body")[0], runs * _times(i))
            elif i.opcode == "conditional":
                yield from self._launches(self._branch(i), runs)
            elif i.opcode in ("call", "async-start"):
                for called in _called(i, "(?:to_apply|calls)"):
                    yield from self._launches(called, runs)
            elif i.opcode not in _FREE and not i.opcode.endswith("-done"):
                yield i, runs

    def _branch(self, i: _Instruction) -> str:
        branches = _called(i, "(?:true|false)_computation") or _called(i, "branch_computations")
        branches.sort(key=lambda b: len(list(self._launches(b, 1.0))))
        return branches[-1] if self._costlier else branches[0]

    def _kernel(self, i: _Instruction, runs: float) -> Kernel:
        flops = _flops(i, self._computations, self._shapes)
        moved = _traffic(i, self._computations, self._shapes)
        return Kernel(i.name, _source(i), runs, flops, moved, "fmha" in i.rest)


def _parse(text: str) -> tuple[Computations, str]:
    computations: Computations = {}
    entry, body = "", []
    for line in text.splitlines():
        if header := _HEADER.match(line):
            body = computations.setdefault(header[2], [])
            entry = header[2] if header[1] else entry
        elif instruction := _INSTRUCTION.match(line):
            body.append(_instruction(instruction[1], instruction[2]))
    return computations, entry


def _instruction(name: str, text: str) -> _Instruction:
    text = re.sub(r"/\*index=\d+\*/", "", text)
    end = _closing(text, 0) if text.startswith("(") else text.index(" ")
    shape, text = text[:end], text[end:].lstrip()
    opening = text.index("(")
    end = _closing(text, opening)
    inside = text[opening + 1 : end - 1]
    operands = tuple(re.findall(r"%([\w.\-]+)", inside))
    return _Instruction(name, shape, text[:opening], operands, text[end:])


def _closing(text: str, start: int) -> int:
    """The position after the bracket that closes the one at ``start``."""
    depth = 0
    for i in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[i], 0)
        if depth == 0:
            return i + 1
    raise ValueError(f"unbalanced brackets in {text[:80]!r}")


def _times(loop: _Instruction) -> int:
    times = re.search(r'"known_trip_count":\{"n":"(\d+)"\}', loop.rest)
    if times is None:
        raise ValueError(f"loop {loop.name}: how often it runs is not known")
    return int(times[1])


def _called(i: _Instruction, key: str) -> list[str]:
    names = re.findall(rf"\b{key}=(?:\{{([^}}]*)\}}|%?([\w.\-]+))", i.rest)
    return [name.strip().lstrip("%") for a, b in names for name in (a or b).split(",")]


def _sizes(shape: str) -> list[tuple[int, tuple[int, ...]]]:
    """(bytes of an element, dimensions) of each array in a shape."""
    arrays = []
    for dtype, dims in _SHAPE.findall(shape):
        bits = re.match(r"[a-z]+(\d+)", dtype)
        width = _BYTES[dtype] if dtype in _BYTES else max(int(bits[1]), 8) // 8 if bits else 0
        arrays.append((width, tuple(int(d) for d in dims.split(",") if d)))
    return arrays


def _total(shape: str) -> float:
    return float(sum(width * math.prod(dims) for width, dims in _sizes(shape)))


def _dims(shape: str) -> tuple[int, ...]:
    return _sizes(shape)[0][1]


def _source(i: _Instruction) -> str:
    match = re.search(r'op_name="([^"]*)"', i.rest)
    return match[1] if match else ""


def _flops(i: _Instruction, computations: Computations, shapes: dict[str, str]) -> float:
    if i.opcode == "fusion":
        inner = computations[_called(i, "calls")[0]]
        return sum(_flops(j, computations, shapes) for j in inner)
    if i.opcode == "dot":
        contracted = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", i.rest)
        assert contracted is not None
        left = _dims(shapes[i.operands[0]])
        depth = math.prod(left[int(d)] for d in contracted[1].split(",") if d)
        return 2.0 * math.prod(_dims(i.shape)) * depth
    if i.opcode == "custom-call" and "fmha" in i.rest:
        return _attention_flops(i, shapes)
    if i.opcode == "custom-call" and "gemm" in i.rest:
        contracted = re.search(r'"lhs_contracting_dimensions":\["(\d+)"', i.rest)
        assert contracted is not None, i.name
        depth = _dims(shapes[i.operands[0]])[int(contracted[1])]
        return 2.0 * math.prod(_dims(i.shape)) * depth
    return 0.0


def _attention_flops(i: _Instruction, shapes: dict[str, str]) -> float:
    """Two products forward; five backward, of which one is computed again (Dao, 2023)."""
    b, t, heads, d = _dims(shapes[i.operands[0]])
    keys = _dims(shapes[i.operands[1]])[1]
    products = 5 if "Backward" in i.rest else 2
    return 2.0 * products * b * heads * t * keys * d


def _traffic(i: _Instruction, computations: Computations, shapes: dict[str, str]) -> float:
    """Bytes that a launch reads and writes; of an array that it only slices, the slice."""
    if i.opcode == "fusion":
        inner = computations[_called(i, "calls")[0]]
        read = sum(_read(p, inner) for p in inner if p.opcode == "parameter")
        return read + sum(_written(r, inner) for r in _roots(inner))
    if i.opcode in ("dynamic-slice", "slice"):
        return 2 * _total(i.shape)
    if i.opcode == "dynamic-update-slice":
        return 2 * _total(shapes[i.operands[1]])
    return _total(i.shape) + sum(_total(shapes[o]) for o in i.operands if o in shapes)


def _read(parameter: _Instruction, inner: list[_Instruction]) -> float:
    users = [j for j in inner if parameter.name in j.operands]
    if users and all(j.opcode in ("dynamic-slice", "slice", "gather") for j in users):
        return sum(_total(j.shape) for j in users)
    if users and all(
        j.opcode == "dynamic-update-slice" and j.operands[0] == parameter.name for j in users
    ):
        return 0.0
    return _total(parameter.shape)


def _roots(inner: list[_Instruction]) -> list[_Instruction]:
    by_name = {j.name: j for j in inner}
    last = inner[-1]  # the root is printed last
    return [by_name[o] for o in last.operands] if last.opcode == "tuple" else [last]


def _written(root: _Instruction, inner: list[_Instruction]) -> float:
    by_name = {j.name: j for j in inner}
    while root.opcode == "bitcast" and root.operands[0] in by_name:
        root = by_name[root.operands[0]]
    if root.opcode == "dynamic-update-slice":
        return _total(by_name[root.operands[1]].shape)
    return _total(root.shape)


def _collective(i: _Instruction, kind: str, runs: float) -> Collective:
    groups = _groups(i.rest)
    n, total = groups.shape[1], _total(i.shape)
    started = i.opcode.endswith("-start")
    if kind == "all-gather" and started:  # its shape is (what goes in, what comes out)
        total *= n / (n + 1)
    elif kind == "reduce-scatter":
        total *= n / (n + 1) if started else n
    elif kind in ("all-to-all", "collective-permute") and started:
        total /= 2
    return Collective(kind, _source(i), runs, total, groups)


def _groups(rest: str) -> Int[np.ndarray, "G n"]:
    """The groups of a collective, in any form that XLA prints."""
    pairs = re.search(r"source_target_pairs=\{\{(.*?)\}\}", rest)
    listed = re.search(r"replica_groups=\{\{(.*?)\}\}", rest)
    if match := pairs or listed:
        return np.array([[int(d) for d in g.split(",")] for g in match[1].split("},{")])
    mesh = re.search(r"replica_groups=mesh\[(.*?)\](.*?)\{(.*?)\}", rest)
    if mesh:
        sizes = {k: int(v) for k, v in re.findall(r"'(\w+)'=(\d+)", mesh[1])}
        order = re.search(r"device_ids=\((.*?\]?(?:T\([\d,]*\))?)\)", mesh[2])
        ids = (
            _iota(order[1], math.prod(sizes.values()))
            if order
            else np.arange(math.prod(sizes.values()))
        )
        along = re.findall(r"'(\w+)'", mesh[3])
        grid = ids.reshape(tuple(sizes.values()))
        at = [list(sizes).index(a) for a in along]
        others = [d for d in range(grid.ndim) if d not in at]
        return grid.transpose(*others, *at).reshape(-1, math.prod(sizes[a] for a in along))
    short = re.search(r"replica_groups=\[(\d+),(\d+)\]<=(\[[\d,]*\](?:T\([\d,]*\))?)", rest)
    if short:
        shape = int(short[1]), int(short[2])
        return _iota(short[3], math.prod(shape)).reshape(shape)
    raise ValueError(f"replica groups of an unknown form in {rest[:200]!r}")


def _iota(text: str, count: int) -> Int[np.ndarray, "n"]:
    """``[8,8]T(1,0)``: 0, 1, … in that shape, its axes exchanged."""
    dims = [int(d) for d in re.findall(r"\[([\d,]*)\]", text)[0].split(",")]
    order = re.search(r"T\(([\d,]*)\)", text)
    grid = np.arange(count).reshape(dims)
    return (grid.transpose([int(d) for d in order[1].split(",")]) if order else grid).ravel()
