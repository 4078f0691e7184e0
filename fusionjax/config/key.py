"""A config key as a dataclass field: default, bounds and documentation."""

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from fusionjax.errors import InputError

Number = int | float


def key(
    default: Any,
    doc: str,
    *,
    least: Number | None = None,
    above: Number | None = None,
    most: Number | None = None,
    below: Number | None = None,
) -> Any:
    """A field of a section of the config.

    Args:
      default: its value if a config does not set it.
      doc: what it is, with its unit; printed in docs/config.md.
      least: inclusive lower bound, of each number if the value is a tuple.
      above: exclusive lower bound.
      most: inclusive upper bound.
      below: exclusive upper bound.
    """
    bounds = {"least": least, "above": above, "most": most, "below": below}
    metadata = {"doc": doc} | {k: v for k, v in bounds.items() if v is not None}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def check_bounds(section: Any, where: str) -> None:
    """Refuses a section one of whose numbers is outside its bounds.

    Raises:
      InputError: naming the key, what it holds and what was expected.
    """
    for f in dataclasses.fields(section):
        value, bounds = getattr(section, f.name), expected(f)
        if bounds and not all(_inside(x, f.metadata) for x in _numbers(value)):
            raise InputError(f"config: {where}.{f.name} is {value}; expected {bounds}")


def expected(field: dataclasses.Field) -> str:
    """The bounds of a key in words; empty if it has none."""
    m = field.metadata
    low, high = m.get("least", m.get("above")), m.get("most", m.get("below"))
    if low is None and high is None:
        return ""
    if high is None:
        return f"{'at least' if 'least' in m else 'more than'} {low}"
    if low is None:
        return f"{'at most' if 'most' in m else 'less than'} {high}"
    return f"in {'[' if 'least' in m else '('}{low}, {high}{']' if 'most' in m else ')'}"


def choices(kind: Any) -> str:
    """The values that a type allows, in words."""
    if typing.get_origin(kind) is typing.Literal:
        return "one of " + ", ".join(map(str, typing.get_args(kind)))
    return str(kind) if typing.get_origin(kind) else getattr(kind, "__name__", str(kind))


def _inside(x: Number, m: Mapping[str, Any]) -> bool:
    return (
        x >= m.get("least", x)
        and x <= m.get("most", x)
        and ("above" not in m or x > m["above"])
        and ("below" not in m or x < m["below"])
    )


def _numbers(value: Any) -> Iterator[Number]:
    for x in value if isinstance(value, tuple) else (value,):
        if isinstance(x, int | float):
            yield x
