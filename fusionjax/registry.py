"""What is found by its name in a config: what this package brings, and what a user adds to it."""

import difflib
import importlib
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from fusionjax.errors import InputError

T = TypeVar("T")


class Registry(Generic[T]):
    """Classes by name. One that the package brings is imported when it is first asked for.

    Args:
      key: config key that holds such a name.
      built_in: module that registers each name.
    """

    def __init__(self, key: str, **built_in: str) -> None:
        self._key, self._modules = key, built_in
        self._found: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """A decorator that makes a class known by ``name``."""

        def put(found: T) -> T:
            self._found[name] = found
            return found

        return put

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules | self._found)

    def require(self, name: Any, key: str = "") -> None:
        """Refuses a name that nothing is registered by, and imports nothing.

        Args:
          name: what a config says.
          key: where, if not under the one key of this registry.

        Raises:
          InputError: with the names that there are.
        """
        if name not in [*self]:
            close = difflib.get_close_matches(str(name), [*self], n=1)
            meant = f"; did you mean {close[0]!r}?" if close else ""
            raise InputError(
                f"config.{key or self._key} is {name!r}; expected one of {', '.join(self)}{meant}"
            )

    def __getitem__(self, name: str) -> T:
        self.require(name)
        if name not in self._found:
            importlib.import_module(self._modules[name])
        return self._found[name]


_SHOWN = "fusionjax.modalities."
# Of ``modalities.base.Modality``; a line each, and its file.
MODALITIES: Registry[Any] = Registry(
    "modalities",
    numeric=_SHOWN + "numeric",
    text=_SHOWN + "text",
    chart=_SHOWN + "chart",
    image=_SHOWN + "image",
    audio=_SHOWN + "audio",
    video=_SHOWN + "video",
    frames=_SHOWN + "frames",
    vector=_SHOWN + "vector",
)

_FUSED = "fusionjax.models.fusions."
# Of ``models.fusions.base.Fusion``; a line each, and its file.
FUSIONS: Registry[Any] = Registry(
    "model.fusion",
    distilled=_FUSED + "distilled",
    equal=_FUSED + "equal",
    concat=_FUSED + "concat",
    late=_FUSED + "late",
    softmax_gate=_FUSED + "softmax_gate",
    attention_gate=_FUSED + "attention_gate",
    confidence=_FUSED + "confidence",
    ogm_ge=_FUSED + "ogm_ge",
    qmf=_FUSED + "qmf",
)
