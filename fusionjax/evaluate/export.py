"""Exports a run as an artefact: one program from inputs to calibrated forecasts, for CPU and CUDA.

In the program: scaling, pictures of charts, the models of all seeds, their mean, the calibration as
it stands after the last session. Not in it, and therefore inputs: what the experts forecast (trees
and filters that were fitted by other libraries), and what ``fusionjax prepare`` makes of texts and
files. The manifest says of each input what it is.
"""

import dataclasses
import datetime
import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int64

import fusionjax
from fusionjax import files
from fusionjax.artifact import loader
from fusionjax.config import Config
from fusionjax.data import text
from fusionjax.data.samples import unlabelled
from fusionjax.data.store import Market
from fusionjax.data.windows import Scaler, Windows
from fusionjax.errors import InputError, require_extra
from fusionjax.evaluate import calibration_state, model_card
from fusionjax.evaluate.inference import Ensemble
from fusionjax.parallel.rules import path_name
from fusionjax.train.inference_fns import make_predict
from fusionjax.types import Base, Batch

PLATFORMS = ("cpu", "cuda")
_SAMPLES = 4  # of the example
_LIBRARIES = ("jax", "jaxlib", "flax", "numpy")
_PARAMETERS, _ISSUED = "parameters/", "calibration/"  # begin the names of weights
_EXPERTS, _SCALES = "experts/", "scales/"  # and of inputs

Arrays = dict[str, Any]


def export(ensemble: Ensemble, market: Market, config: Config, folder: Path) -> dict[str, Any]:
    """Writes the artefact of a run; returns its manifest.

    Args:
      ensemble: the run.
      market: the data; its last session is the artefact's cutoff.
      config: of the run.
      folder: to write, whole or not at all.

    Raises:
      InputError: the folder exists, or the library that writes weights is not installed.
    """
    if folder.exists():
        raise InputError(f"--out={folder}: is there already; give a folder that is not")
    require_extra("serve", "flatbuffers", "safetensors")  # jax.export writes with the first
    from safetensors.numpy import save

    until = market.session.max()
    state = calibration_state.moved(ensemble, market, config, until)
    newest = market.ordinal.max()
    weights = _weights(ensemble) | {
        f"{_ISSUED}{name}/{at}": np.float32(state.issued((name, at), np.array([newest]))[0])
        for name, at in state.tasks
    }
    rows = np.flatnonzero(market.forecast_rows(config.data.min_history))
    rows = rows[np.argsort(market.session[rows], kind="stable")][-_SAMPLES:]
    inputs = inputs_of(ensemble.windows, config, rows)
    program = _program(config, ensemble.info.scaler, state.tasks)
    exported = _exported(program, weights, inputs)
    outputs = {k: np.asarray(x) for k, x in jax.jit(program)(weights, inputs).items()}
    _require_alike(ensemble, config, rows, outputs)
    example = {f"{loader.INPUT}{k}": x for k, x in inputs.items()}
    example |= {f"{loader.OUTPUT}{k}": x for k, x in outputs.items()}
    manifest = _manifest(ensemble, market, config, exported, inputs, outputs)
    content = {
        loader.PROGRAM: bytes(exported.serialize()),
        loader.WEIGHTS: save({k: np.asarray(x) for k, x in weights.items()}),
        loader.EXAMPLE: save({k: np.ascontiguousarray(x) for k, x in example.items()}),
        loader.CARD: model_card.written(manifest).encode(),
    }
    manifest["files"] = {k: hashlib.sha256(x).hexdigest() for k, x in content.items()}
    content[loader.MANIFEST] = json.dumps(manifest, indent=1).encode()
    with files.new_folder(folder) as aside:
        for name, bytes_of in content.items():
            (aside / name).write_bytes(bytes_of)
    return manifest


def inputs_of(windows: Windows, config: Config, rows: Int64[np.ndarray, "B"]) -> Arrays:
    """The inputs of an exported program, of rows of the market."""
    market, scaler = windows.market, windows.scaler
    stack = windows.stack
    scale = windows.trailing(rows) if stack is None else stack.log_scale(rows)
    inputs: Arrays = {"log_scale": np.asarray(scale, np.float32)}
    for name, modality in config.modalities.items():
        raw = modality.raw(market, config, scaler)(rows)
        inputs |= {f"{name}/{part}": x for part, x in raw.items()}
    if stack is not None:
        base = stack(rows)
        for name, value in base.value.items():
            known = np.expand_dims(base.known[name], tuple(range(2, value.ndim)))
            inputs[f"{_EXPERTS}{name}"] = np.where(known, value, np.float32(np.nan))
    for head in config.targets.values():
        scales = head.scales(market, rows)
        inputs |= {f"{_SCALES}{k}": np.asarray(x, np.float32) for k, x in scales.items()}
    return {k: np.ascontiguousarray(x) for k, x in inputs.items()}


def _weights(ensemble: Ensemble) -> Arrays:
    """The parameters of all seeds by their paths, one above the other."""
    stacked = jax.tree.map(lambda *x: np.stack([np.asarray(a) for a in x]), *ensemble.seeds)
    leaves = jax.tree_util.tree_leaves_with_path(stacked)
    return {f"{_PARAMETERS}{path_name(p)}": x for p, x in leaves}


def _nested(flat: Arrays) -> dict[str, Any]:
    """Parameters as the model takes them, from their paths."""
    tree: dict[str, Any] = {}
    for name, x in flat.items():
        node, *path = tree, *name.split("/")
        for part in path[:-1]:
            node = node.setdefault(part, {})
        node[path[-1]] = x
    return tree


def _program(
    config: Config, scaler: Scaler, calibrated: list[tuple[str, int]]
) -> Callable[[Arrays, Arrays], Arrays]:
    """``program(weights, inputs) -> outputs``, all by name."""
    predict = make_predict(config)

    def program(weights: Arrays, inputs: Arrays) -> Arrays:
        of_seeds = {
            k.removeprefix(_PARAMETERS): x for k, x in weights.items() if k.startswith(_PARAMETERS)
        }
        batch = _batch(inputs, config, scaler)
        forecast = jax.vmap(predict, (0, None))(_nested(of_seeds), batch)
        outputs: Arrays = {"modality_weight": forecast.modality_weight.mean(0)}
        scales = {k.removeprefix(_SCALES): x for k, x in inputs.items() if k.startswith(_SCALES)}
        for name, head in config.targets.items():
            value = head.prediction(forecast.outcome[name]).mean(0)
            outputs[name] = value
            each = []
            for at in range(len(head.horizons)):
                if (name, at) in calibrated:
                    issued = jnp.full(value.shape[0], weights[f"{_ISSUED}{name}/{at}"])
                    each.append(head.one(at).corrected(value[:, at], issued, scales))
            if each:
                outputs[f"calibrated/{name}"] = jnp.stack(each, 1)
        return outputs

    return program


def _batch(inputs: Arrays, config: Config, scaler: Scaler) -> Batch:
    """What ``Windows`` gives, on the device."""
    values, present = {}, {}
    for name, modality in config.modalities.items():
        own = f"{name}/"
        raw = {k.removeprefix(own): x for k, x in inputs.items() if k.startswith(own)}
        values[name], present[name] = modality.preprocess(raw, config, scaler)
    scale = inputs["log_scale"]
    rows, base = scale.shape[0], None
    if config.stacked_heads:
        value = {k: inputs[f"{_EXPERTS}{k}"] for k in config.stacked_heads}
        finite = {k: jnp.isfinite(x).reshape(*x.shape[:2], -1).all(-1) for k, x in value.items()}
        base = Base({k: jnp.nan_to_num(x) for k, x in value.items()}, finite)
    return Batch(
        inputs=values,
        present=present,
        targets=unlabelled(config.targets, 1),  # a forecast reads none
        log_scale=scale,
        weight=jnp.ones(rows),
        sample_id=jnp.zeros(rows, jnp.int32),
        base=base,
    )


def _exported(
    program: Callable[[Arrays, Arrays], Arrays], weights: Arrays, inputs: Arrays
) -> jax.export.Exported:
    (rows,) = jax.export.symbolic_shape("b")
    fixed = {k: jax.ShapeDtypeStruct(np.shape(x), np.asarray(x).dtype) for k, x in weights.items()}
    free = {k: jax.ShapeDtypeStruct((rows, *x.shape[1:]), x.dtype) for k, x in inputs.items()}
    return jax.export.export(jax.jit(program), platforms=PLATFORMS)(fixed, free)


def _require_alike(
    ensemble: Ensemble, config: Config, rows: np.ndarray, outputs: dict[str, np.ndarray]
) -> None:
    """Checks the program against the run itself, before anything is written."""
    wanted = ensemble.predict(rows).value
    for name in config.targets:
        farthest = float(np.abs(outputs[name] - wanted[name]).max())
        if not farthest <= loader.TOLERANCE:
            raise InputError(
                f"{ensemble.source}: the exported forecasts of {name} differ by {farthest:.1e} "
                f"from the run's, expected at most {loader.TOLERANCE:.0e}; this is a fault of "
                "fusionjax, please report it with the config"
            )


def _manifest(
    ensemble: Ensemble,
    market: Market,
    config: Config,
    exported: jax.export.Exported,
    inputs: Arrays,
    outputs: Arrays,
) -> dict[str, Any]:
    told, info = _told(config), ensemble.info
    used = any(m.kind == "text" for m in config.modalities.values())
    return {
        "format": loader.FORMAT,
        "name": config.name,
        "exported": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cutoff": str(market.session.max()),
        "trained": [info.trained_from, info.trained_until],
        "seeds": list(ensemble.seed_numbers),
        "data": {"fingerprint": market.fingerprint, "trained_on": info.fingerprint},
        "encoder": {"name": text.ENCODER, "data_cutoff": text.DATA_CUTOFF} if used else None,
        "parameters": ensemble.identity(),
        "platforms": list(exported.platforms),
        "calling_convention": exported.calling_convention_version,
        "versions": {
            "fusionjax": fusionjax.__version__,
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in _LIBRARIES},
        },
        "inputs": {k: _described(x, told.get(k, "")) for k, x in inputs.items()},
        "outputs": {k: _described(x, _said(k, config)) for k, x in outputs.items()},
        "scaler": dataclasses.asdict(info.scaler),
        "config": json.loads(config.override({"data.root": "", "data.prepared": ""}).to_json()),
    }


def _described(x: np.ndarray, meaning: str) -> dict[str, Any]:
    return {"shape": ["B", *x.shape[1:]], "dtype": str(x.dtype), "meaning": meaning}


def _told(config: Config) -> dict[str, str]:
    """What each input holds."""
    told = {
        "log_scale": "log of the stock's daily volatility as the experts forecast it; without "
        "experts, of the root mean square log return of the last 20 sessions",
        f"{_SCALES}usual": "log of the root mean square daily log return of the last 20 sessions",
        f"{_SCALES}recent": "log volatility of the last days by their ranges "
        "(fusionjax.data.samples.recent_log_volatility)",
    }
    for name, modality in config.modalities.items():
        units = modality.raw_units(config)
        told |= {f"{name}/{part}": meaning for part, meaning in units.items()}
    for name, head in config.stacked_heads.items():
        told[f"{_EXPERTS}{name}"] = (
            f"what the run's experts forecast of {name} at {head.horizons} sessions, as "
            "fusionjax.experts.stacked makes it of the run's experts.npz; NaN where they have none"
        )
    return told


def _said(output: str, config: Config) -> str:
    """What an output holds."""
    if output == "modality_weight":
        return f"fusion weight of {', '.join(config.modalities)}"
    name = output.removeprefix("calibrated/")
    horizons = config.targets[name].horizons
    what = f"{config.targets[name].title}, {horizons} sessions ahead"
    if name != output:
        return f"{what}; calibrated by the labels known at the cutoff"
    return f"{what}; mean over seeds"
