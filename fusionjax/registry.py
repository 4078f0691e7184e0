"""Registries of what a config names: modules of this package, and a user's own entries."""

import importlib
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from fusionjax.errors import InputError, nearest

T = TypeVar("T")


class Registry(Generic[T]):
    """Classes or objects by name. Built-in ones are imported on first use.

    Args:
      key: config key that holds a name.
      home: package with a module for each of ``built_in``, which registers that name.
      built_in: names of this package.
    """

    def __init__(self, key: str, home: str = "", built_in: tuple[str, ...] = ()) -> None:
        self._key, self._home, self.built_in = key, home, built_in
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """A decorator that registers its argument under ``name``."""

        def add(entry: T) -> T:
            self._entries[name] = entry
            return entry

        return add

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*self.built_in, *self._entries)))

    def require(self, name: Any, key: str = "") -> None:
        """Checks that a name is registered; imports nothing.

        Args:
          name: value in a config.
          key: its config key, if not that of this registry.

        Raises:
          InputError: it is not; the message lists the registered names.
        """
        if name not in [*self]:
            raise InputError(
                f"config.{key or self._key} is {name!r}; expected one of {', '.join(self)}"
                f"{nearest(str(name), self)}"
            )

    def __getitem__(self, name: str) -> T:
        self.require(name)
        if name not in self._entries:
            importlib.import_module(f"{self._home}.{name}")
        return self._entries[name]


# Subclasses of ``modalities.base.Modality``; a module for each name.
MODALITIES: Registry[Any] = Registry(
    "modalities",
    "fusionjax.modalities",
    ("numeric", "text", "chart", "image", "audio", "video", "frames", "vector"),
)
# Instances of ``data.sources.Source``; a module for each name.
SOURCES: Registry[Any] = Registry(
    "data.source", "fusionjax.data.sources", ("sp500", "acl18", "kdd17", "folder")
)
# Subclasses of ``heads.base.Head``; a module for each name. Every config has all built-in ones.
HEADS: Registry[Any] = Registry(
    "targets", "fusionjax.heads", ("direction", "returns", "volatility")
)
# Subclasses of ``models.fusions.base.Fusion``; a module for each name.
FUSIONS: Registry[Any] = Registry(
    "model.fusion",
    "fusionjax.models.fusions",
    (
        *("distilled", "equal", "concat", "late", "softmax_gate", "attention_gate", "confidence"),
        *("ogm_ge", "qmf", "pdf", "mmpareto", "arl"),
    ),
)
# A user's experts of the fusion, beside ``Head.baselines`` and experts/learners.py: functions
# ``(head's name, head of one horizon) -> heads.baseline.Baseline | None``.
EXPERTS: Registry[Any] = Registry("distill.experts")
