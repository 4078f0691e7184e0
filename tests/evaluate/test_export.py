"""An exported run forecasts as the run does, without the training stack; what is off is said."""

import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from conftest import ROOT, SP500, TINY, price_trainer

from fusionjax.artifact import Artifact, loader, tensors
from fusionjax.data import charts
from fusionjax.data.windows import Windows
from fusionjax.errors import InputError
from fusionjax.evaluate import calibration_state
from fusionjax.evaluate.export import export, inputs_of
from fusionjax.evaluate.inference import Ensemble, predict

EXPERTS = ("majority", "EWMA .94 (RiskMetrics)", "historical quantiles, scaled by the experts")


@pytest.fixture(scope="module")
def run(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Ensemble:
    """Two seeds on prices, the VIX (missing before 2014) and a chart, from experts."""
    further = {"vix": SP500["vix"], "chart": TINY["chart"]}
    changes = {"distill__experts": EXPERTS, "distill__expert_fits": 2}
    trainer = price_trainer(prepared, further, model__fusion="distilled", **changes)
    folder = tmp_path_factory.mktemp("run")
    for seed in (0, 1):
        trainer.train(seed, folder / f"seed_{seed}")
    return Ensemble(folder, trainer.config, trainer.market)


@pytest.fixture(scope="module")
def folder(run: Ensemble, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "artefact"
    export(run, run.windows.market, run.config, folder)
    return folder


def test_it_forecasts_as_the_run_does(run: Ensemble, folder: Path) -> None:
    market, config = run.windows.market, run.config
    rows = np.flatnonzero(market.forecast_rows(config.data.min_history))
    rows = np.concatenate([rows[:3], rows[2000:2003], rows[-35:]])  # 1999 without the VIX too
    artifact, wanted = Artifact.load(folder), run.predict(rows)
    got = artifact.forecast(inputs_of(run.windows, config, rows))
    for name, value in wanted.value.items():
        np.testing.assert_allclose(got[name], value, atol=1e-6, rtol=0)
    np.testing.assert_allclose(got["modality_weight"], wanted.modality_weight, atol=1e-6, rtol=0)
    one = artifact.forecast(inputs_of(run.windows, config, rows[-1:]))
    assert all(len(x) == 1 for x in one.values())
    until = market.session.max()
    state = calibration_state.moved(run, market, config, until)
    newest = rows[-1:]
    assert market.session[newest] == until
    for name, value in state.corrected(run.predict(newest), market, newest).items():
        if value is not None:
            np.testing.assert_allclose(one[f"calibrated/{name}"], value, atol=1e-6, rtol=0)
            raw = wanted.value[name][-1:]
            assert np.abs(value - raw).max() > 1e-4, "nothing was calibrated"


def test_all_seeds_answer_in_one_call_as_one_by_one(run: Ensemble) -> None:
    rows = np.flatnonzero(run.windows.market.forecast_rows(30))[-70:]
    run._sizes.clear()
    with mock.patch.object(run._program, "predict_each", wraps=run._program.predict_each) as asked:
        each = run.predict_each(rows)
        run.predict_each(rows[:3])  # by the same program, not by one of four rows
    assert asked.call_count == 2
    assert {len(call.args[1].weight) for call in asked.call_args_list} == {128}
    assert len(each) == len(run.seeds) == 2
    for params, got in zip(run.seeds, each, strict=True):
        alone = predict(run._program, params, run.windows, rows, 128)
        for name, value in alone.value.items():
            np.testing.assert_allclose(got.value[name], value, atol=1e-6, rtol=0)
        np.testing.assert_allclose(got.modality_weight, alone.modality_weight, atol=1e-6, rtol=0)
    assert np.abs(each[0].value["volatility"] - each[1].value["volatility"]).max() > 1e-6


def test_inputs_are_raw_and_described(run: Ensemble, folder: Path) -> None:
    market, manifest = run.windows.market, Artifact.load(folder).manifest
    row = np.flatnonzero(market.session == np.datetime64("2018-06-29"))
    channels = inputs_of(run.windows, run.config, row)["price/channels"]
    np.testing.assert_array_equal(
        channels[0, -1], market.channels[row[0], market.columns(SP500["price"]["channels"])]
    )
    assert all(entry["meaning"] for entry in manifest["inputs"].values())
    assert manifest["cutoff"] == "2018-12-31"
    assert manifest["platforms"] == ["cpu", "cuda"]
    assert str(tmp := run.source) not in json.dumps(manifest), tmp
    card = (folder / "README.md").read_text()
    assert "`price/channels`" in card
    assert "known at the close of 2018-12-31" in card


def test_pictures_are_drawn_alike_by_numpy_and_by_jax() -> None:
    rng = np.random.default_rng(0)
    prices = np.exp(np.cumsum(rng.normal(0, 0.02, (64, 8, 1)), 1))
    bars = prices * np.exp(rng.normal(0, 0.01, (64, 8, 4)))
    bars = np.concatenate([bars, rng.uniform(0, 1e6, (64, 8, 1))], 2).astype(np.float32)
    valid = rng.uniform(size=(64, 8)) < 0.8
    valid[0] = False
    drawn = charts.draw(bars, valid, 20)
    shown = np.where(valid[..., None], bars, np.float32(np.nan))
    on_device = jax.jit(charts.draw, static_argnums=2)(jnp.asarray(shown), jnp.asarray(valid), 20)
    np.testing.assert_array_equal(drawn, on_device)


def requirements(name: str, found: set[str]) -> set[str]:
    """A distribution and all that it needs, without extras."""
    if name not in found:
        found.add(name)
        for line in importlib.metadata.requires(name) or ():
            if "extra ==" not in line:
                requirements(re.split(r"[^\w.-]", line)[0].lower().replace("_", "-"), found)
    return found


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """The interpreter of an environment of jax, numpy, flatbuffers and what they require."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    (site,) = (tmp_path / "bare" / "lib").glob("python*/site-packages")
    needed = set[str]()
    for name in ("jax", "numpy", "flatbuffers"):
        requirements(name, needed)
    for name in sorted(needed):
        distribution = importlib.metadata.distribution(name)
        tops = {file.parts[0] for file in distribution.files or () if ".." not in file.parts}
        for top in tops - {"__pycache__"}:
            (site / top).symlink_to(distribution.locate_file(top))
    return tmp_path / "bare" / "bin" / "python"


def test_it_runs_where_only_jax_and_numpy_are(folder: Path, bare: Path, tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}

    def asked(*words: str) -> subprocess.CompletedProcess[str]:
        command = [str(bare), *words]
        return subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )

    for name in ("flax", "optax", "orbax", "pandas", "tensorflow_datasets", "ml_collections"):
        assert "ModuleNotFoundError" in asked("-c", f"import {name}").stderr, name
    done = asked("-m", "fusionjax.artifact", str(folder))
    assert done.returncode == 0, done.stderr
    assert "the example's forecasts are made again" in done.stdout
    done = asked("-m", "fusionjax.artifact", str(tmp_path / "nothing"))
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def edited(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def replaced(folder: Path, name: str, content: bytes) -> None:
    """Another content with the right sum."""
    (folder / name).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    edited(folder, lambda m: m["files"].update({name: digest}))


def damages() -> Iterator[tuple[str, Callable[[Path], object], str]]:
    yield "missing", lambda f: (f / "program.jax").unlink(), "program.jax: cannot be read"
    for name in loader.FILES:
        yield (
            f"damaged {name}",
            lambda f, n=name: (f / n).write_bytes((f / n).read_bytes()[:-1] + b"!"),
            f"{name}: is not as it was exported",
        )
    yield "cut off", lambda f: (f / "manifest.json").write_text("{"), "is no manifest of an"
    yield "no entry", lambda f: edited(f, lambda m: m.pop("inputs")), "is no manifest of an"
    yield (
        "another file",
        lambda f: edited(f, lambda m: m["files"].update({"../x": "0"})),
        "is no manifest of an artefact",
    )
    yield "format", lambda f: edited(f, lambda m: m.update(format=2)), "is of format 2"
    yield (
        "platform",
        lambda f: edited(f, lambda m: m.update(platforms=["tpu"])),
        "was exported for tpu, and this machine is cpu",
    )
    for version, what in ((8, "too new"), (99, "too old")):
        yield (
            what,
            lambda f, v=version: edited(f, lambda m: m.update(calling_convention=v)),
            f"is {what} for it",
        )
    yield "program", lambda f: replaced(f, "program.jax", b"no program"), "cannot read it"
    yield (
        "weights",
        lambda f: replaced(f, "weights.safetensors", b"\xff" * 40),
        "weights.safetensors: is no whole safetensors file",
    )


@pytest.mark.parametrize(("change", "message"), [x[1:] for x in damages()], ids=[
    x[0] for x in damages()
])  # fmt: skip
def test_what_is_off_is_said_in_a_sentence(
    change: Callable[[Path], object], message: str, folder: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    change(copy)
    with pytest.raises(InputError, match=re.escape(message)) as raised:
        Artifact.load(copy)
    assert "\n" not in str(raised.value)


def test_an_example_that_comes_out_otherwise_is_refused(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    example = safetensors.numpy.load((copy / "example.safetensors").read_bytes())
    example["output/direction"] = example["output/direction"] + np.float32(1e-3)
    replaced(copy, "example.safetensors", safetensors.numpy.save(example))
    with pytest.raises(InputError, match="differ by 1.0e-03 from those of the run"):
        Artifact.load(copy).check()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x.pop("log_scale"), "log_scale: is missing"),
        (lambda x: x.update(extra=x["log_scale"]), "extra: is none of the inputs"),
        (lambda x: x.update(log_scale=x["log_scale"][:1]), "inputs have 1, 2 samples"),
        (lambda x: x.update({k: v[:0] for k, v in x.items()}), "inputs have 0 samples"),
        (lambda x: x.update(log_scale=x["log_scale"].astype(float)), "expected float32"),
        (lambda x: x.update({"price/channels": x["price/channels"][:, 1:]}), "expected float32"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(
    change: Callable[[dict[str, np.ndarray]], object], message: str, run: Ensemble, folder: Path
) -> None:
    inputs = inputs_of(run.windows, run.config, np.array([3000, 3001]))
    change(inputs)
    with pytest.raises(InputError, match=message):
        Artifact.load(folder).forecast(inputs)


def test_a_folder_that_is_there_is_not_written(run: Ensemble, folder: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in folder.iterdir()}
    with pytest.raises(InputError, match="is there already"):
        export(run, run.windows.market, run.config, folder)
    assert {p: p.stat().st_mtime_ns for p in folder.iterdir()} == before


def test_safetensors_are_read_as_their_library_writes_them() -> None:
    rng = np.random.default_rng(0)
    kinds = ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?")
    arrays = {f"a/{k}": rng.integers(0, 2, (3, 0 if k == "u1" else 2)).astype(k) for k in kinds}
    arrays["scalar"] = np.float32(3)
    content = safetensors.numpy.save({k: np.asarray(x) for k, x in arrays.items()})
    got = tensors.read(content, "x")
    assert got.keys() == arrays.keys()
    for name, x in arrays.items():
        np.testing.assert_array_equal(got[name], x)
        assert got[name].dtype == x.dtype
    for cut in range(0, len(content), 7):
        with pytest.raises(InputError, match="x: is no whole safetensors file"):
            tensors.read(content[:cut], "x")


def test_windows_and_inputs_agree_on_what_is_missing(run: Ensemble) -> None:
    """A modality that is absent in 1999 is so in the program too."""
    windows: Windows = run.windows
    row = np.array([300])
    inputs = inputs_of(windows, run.config, row)
    value, present = run.config.modalities["vix"].preprocess(
        {"channels": jnp.asarray(inputs["vix/channels"])}, run.config, windows.scaler
    )
    batch = windows.one(300)
    assert not present[0]
    assert not batch.present["vix"][0]
    np.testing.assert_array_equal(value.x, batch.inputs["vix"].x)
