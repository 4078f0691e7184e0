"""Loads an artefact and forecasts with it. Imports jax, numpy and nothing of the training stack;
jax.export reads programs by flatbuffers, which jax does not declare."""

import dataclasses
import hashlib
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.export
import numpy as np

from fusionjax.artifact import tensors
from fusionjax.errors import InputError

FORMAT = 1
MANIFEST, PROGRAM, WEIGHTS = "manifest.json", "program.jax", "weights.safetensors"
EXAMPLE, CARD = "example.safetensors", "README.md"
FILES = (PROGRAM, WEIGHTS, EXAMPLE, CARD)
INPUT, OUTPUT = "input/", "output/"  # begin the names of an example's arrays
TOLERANCE = 1e-6  # between forecasts on two machines, as exported


@dataclasses.dataclass(frozen=True)
class Artifact:
    """A forecaster as it was exported.

    Attributes:
      folder: it was read from.
      manifest: what it is: ``inputs``, ``outputs``, ``cutoff``, ``config``, ``versions``, …
      identity: sha256 of the manifest, which holds those of all other files.
    """

    folder: Path
    manifest: dict[str, Any]
    identity: str
    _weights: dict[str, Any]
    _example: dict[str, np.ndarray]
    _call: Any

    @staticmethod
    def load(folder: str | Path) -> "Artifact":
        """Reads a folder that ``fusionjax export`` wrote; every file is compared with its sum.

        Raises:
          InputError: a file is missing or damaged, or this jax or platform cannot run it.
        """
        root = Path(folder)
        raw = _content(root, MANIFEST)
        manifest = _manifest(raw, root)
        content = {name: _content(root, name) for name in FILES}
        for name, bytes_of in content.items():
            if hashlib.sha256(bytes_of).hexdigest() != manifest["files"].get(name):
                raise InputError(
                    f"{root / name}: is not as it was exported (its SHA-256 differs from the "
                    "manifest's); copy the folder again, or export the run again"
                )
        _require_supported(manifest, root)
        if importlib.util.find_spec("flatbuffers") is None:
            raise InputError(
                f"{root / PROGRAM}: jax.export reads it by flatbuffers, which is not installed; "
                "install it with pip"
            )
        try:
            exported = jax.export.deserialize(bytearray(content[PROGRAM]))
        except Exception as e:  # flatbuffers and MLIR raise what they like
            raise InputError(
                f"{root / PROGRAM}: jax {jax.__version__} cannot read it ({_first_line(e)}); use "
                f"jax {manifest['versions']['jax']}, with which it was exported"
            ) from e
        weights = tensors.read(content[WEIGHTS], str(root / WEIGHTS))
        example = tensors.read(content[EXAMPLE], str(root / EXAMPLE))
        on_device = {name: jax.device_put(x) for name, x in weights.items()}
        identity = hashlib.sha256(raw).hexdigest()
        return Artifact(root, manifest, identity, on_device, example, jax.jit(exported.call))

    def forecast(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The forecasts of B samples.

        Args:
          inputs: by name, arrays that begin with B, as ``manifest["inputs"]`` describes them.

        Returns:
          By name, arrays that begin with B, as ``manifest["outputs"]`` describes them.

        Raises:
          InputError: an input is missing, unknown, or of another shape or dtype.
        """
        rows = self._require_inputs(inputs)
        # A power of two, so that few programs are compiled; padding repeats the last sample.
        at = np.minimum(np.arange(1 << max(rows - 1, 0).bit_length()), rows - 1)
        padded = {name: np.asarray(inputs[name])[at] for name in self.manifest["inputs"]}
        outputs = jax.device_get(self._call(self._weights, padded))
        return {name: np.asarray(x)[:rows] for name, x in outputs.items()}

    def check(self) -> float:
        """Makes the forecasts of the stored example again; returns how far the farthest is.

        Raises:
          InputError: farther than ``TOLERANCE``.
        """
        given, wanted = (
            {k.removeprefix(part): x for k, x in self._example.items() if k.startswith(part)}
            for part in (INPUT, OUTPUT)
        )
        outputs = self.forecast(given)
        farthest = max(float(np.abs(outputs[k] - x).max(initial=0)) for k, x in wanted.items())
        if not farthest <= TOLERANCE:
            raise InputError(
                f"{self.folder}: the example's forecasts differ by {farthest:.1e} from those of "
                f"the run, expected at most {TOLERANCE:.0e}; do not use it with jax "
                f"{jax.__version__} on {jax.default_backend()}"
            )
        return farthest

    def _require_inputs(self, inputs: Mapping[str, np.ndarray]) -> int:
        wanted = self.manifest["inputs"]
        if differing := sorted(wanted.keys() ^ inputs.keys()):
            name = differing[0]
            what = "is missing" if name in wanted else "is none of the inputs"
            raise InputError(f"{name}: {what}; expected {', '.join(wanted)}")
        rows = {len(x) if np.ndim(x) else 0 for x in inputs.values()}
        if len(rows) != 1 or 0 in rows:
            raise InputError(
                f"inputs have {', '.join(map(str, sorted(rows)))} samples; expected one number for "
                "all, at least 1"
            )
        for name, entry in wanted.items():
            x = np.asarray(inputs[name])
            if [*x.shape[1:]] != entry["shape"][1:] or str(x.dtype) != entry["dtype"]:
                raise InputError(
                    f"{name}: is {x.dtype} {list(x.shape[1:])} a sample; expected "
                    f"{entry['dtype']} {entry['shape'][1:]}"
                )
        return rows.pop()


def _content(root: Path, name: str) -> bytes:
    try:
        return (root / name).read_bytes()
    except OSError as e:
        raise InputError(
            f"{root / name}: cannot be read ({e.strerror}); give a folder that fusionjax export "
            "wrote"
        ) from e


def _manifest(raw: bytes, root: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(raw.decode())
        written, dicts = manifest["format"], ("files", "inputs", "outputs", "versions")
        whole = all(isinstance(manifest[k], dict) for k in dicts) and manifest["platforms"]
        if not whole or {*manifest["files"]} != {*FILES}:
            raise ValueError("an entry is missing")
        int(manifest["calling_convention"])
    except (ValueError, KeyError, TypeError) as e:
        raise InputError(
            f"{root / MANIFEST}: is no manifest of an artefact ({e}); export the run again"
        ) from e
    if written != FORMAT:
        raise InputError(
            f"{root / MANIFEST}: is of format {written}, this fusionjax reads {FORMAT}; export the "
            "run again, or use the fusionjax that exported it"
        )
    return dict(manifest)


def _require_supported(manifest: dict[str, Any], root: Path) -> None:
    oldest = jax.export.minimum_supported_calling_convention_version
    newest = jax.export.maximum_supported_calling_convention_version
    written, by = manifest["calling_convention"], manifest["versions"]["jax"]
    if not oldest <= written <= newest:
        other = "too new" if written < oldest else "too old"
        raise InputError(
            f"{root}: was exported by jax {by} (calling convention {written}), and jax "
            f"{jax.__version__} is {other} for it: it reads {oldest} to {newest}; use jax {by}, or "
            "export the run again"
        )
    platform = {"gpu": "cuda"}.get(jax.default_backend(), jax.default_backend())
    if platform not in manifest["platforms"]:
        raise InputError(
            f"{root}: was exported for {', '.join(manifest['platforms'])}, and this machine is "
            f"{platform}; export it for that, or set JAX_PLATFORMS=cpu"
        )


def _first_line(e: Exception) -> str:
    return (str(e).strip().splitlines() or [type(e).__name__])[0][:160]
