"""What is found by its name in a config: what this package brings, and what a user adds to it."""

import importlib
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from fusionjax.errors import InputError, nearest

T = TypeVar("T")


class Registry(Generic[T]):
    """Classes by name. One that the package brings is imported when it is first asked for.

    Args:
      key: config key that holds such a name.
      home: package with a module for each of ``built_in``, which registers that name.
      built_in: names that the package brings.
    """

    def __init__(self, key: str, home: str = "", built_in: tuple[str, ...] = ()) -> None:
        self._key, self._home, self.built_in = key, home, built_in
        self._found: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """A decorator that makes a class known by ``name``."""

        def put(found: T) -> T:
            self._found[name] = found
            return found

        return put

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*self.built_in, *self._found)))

    def require(self, name: Any, key: str = "") -> None:
        """Refuses a name that nothing is registered by, and imports nothing.

        Args:
          name: what a config says.
          key: where, if not under the one key of this registry.

        Raises:
          InputError: with the names that there are.
        """
        if name not in [*self]:
            raise InputError(
                f"config.{key or self._key} is {name!r}; expected one of {', '.join(self)}"
                f"{nearest(str(name), self)}"
            )

    def __getitem__(self, name: str) -> T:
        self.require(name)
        if name not in self._found:
            importlib.import_module(f"{self._home}.{name}")
        return self._found[name]


# Of ``modalities.base.Modality``; a name each, and its file.
MODALITIES: Registry[Any] = Registry(
    "modalities",
    "fusionjax.modalities",
    ("numeric", "text", "chart", "image", "audio", "video", "frames", "vector"),
)
# Of ``data.sources.Source``; a name each, and its file.
SOURCES: Registry[Any] = Registry(
    "data.source", "fusionjax.data.sources", ("sp500", "acl18", "kdd17", "folder")
)
# Of ``heads.base.Head``; a name each, and its file. All of these are in every config.
HEADS: Registry[Any] = Registry(
    "targets", "fusionjax.heads", ("direction", "returns", "volatility")
)
# Of ``models.fusions.base.Fusion``; a name each, and its file.
FUSIONS: Registry[Any] = Registry(
    "model.fusion",
    "fusionjax.models.fusions",
    (
        *("distilled", "equal", "concat", "late", "softmax_gate", "attention_gate", "confidence"),
        *("ogm_ge", "qmf"),
    ),
)
