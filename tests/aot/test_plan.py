"""The 64-H100 step, compiled by the real compiler without a GPU: what must hold of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from fusionjax.config import Config, resolve
from fusionjax.configs import h100_64
from fusionjax.parallel.cluster import H100
from fusionjax.train.plan import Plan, Traffic, make_plan, scaled, uneven

pytestmark = pytest.mark.aot


@pytest.fixture(scope="module")
def config() -> Config:
    return resolve(h100_64.get_config())


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """Of the command that an operator gives; what it prints is seen with ``pytest -s``."""
    place = tmp_path_factory.mktemp("plan")
    command = [str(ROOT / "launch/plan.py"), f"--config={ROOT}/configs/h100_64.py"]
    subprocess.run([sys.executable, *command], cwd=place, check=True)
    told = json.loads((place / "runs/h100_64/plan_64.json").read_text())
    traffic = tuple(Traffic(**t) for t in told.pop("traffic"))
    pairs = {key: tuple(told.pop(key)) for key in ("donated", "seconds", "problems")}
    return Plan(**told, **pairs, traffic=traffic)


def test_it_is_the_model_that_was_asked_for(config: Config, plan: Plan) -> None:
    assert plan.parameters >= 2e9
    assert len(config.modalities) == 5
    assert config.modalities["price"].sessions // config.modalities["price"].patch >= 4096
    assert plan.mesh == {"data": 8, "fsdp": 8, "tensor": 1}
    assert config.model.compute_dtype == "bfloat16"
    assert config.train.grad_accum_steps > 1
    assert plan.attention_kernels > 0, "cuDNN, not the reference path"


def test_it_fits(plan: Plan) -> None:
    assert plan.problems == ()
    assert plan.peak <= 72e9
    # Parameter, average, two moments in float32, split over 8.
    assert plan.arguments >= plan.parameters * 16 / 8
    assert plan.arguments < 1.05 * plan.parameters * 16 / 8


def test_all_of_the_state_is_donated(plan: Plan) -> None:
    donated, arrays = plan.donated
    assert donated == arrays


def test_parameters_travel_inside_nodes_and_gradients_between_them(plan: Plan) -> None:
    assert {t.kind for t in plan.traffic} == {"all-gather", "reduce-scatter", "all-reduce"}
    for t in plan.traffic:
        if t.kind != "all-reduce":
            assert (t.axes, t.link) == ("fsdp", "NVLink"), t
    assert plan.network <= 2 * plan.gradient


def test_arithmetic_is_that_of_the_layers(config: Config, plan: Plan) -> None:
    """Six FLOPs a parameter and token in the layers' matrices, and 2 % for attention."""
    m, d = config.modalities, config.model.width
    frames = 1 + (round(60.0 * 16_000) - m["audio"].window) // m["audio"].hop
    tokens = 4097 + 512 + 4 * 32 + 1 + frames // 4 + 16 * 64 + 16
    layer = 4 * d * d + 2 * config.model.mlp_ratio * d * d
    matrices = 6 * config.model.layers * layer * tokens
    a_sample = plan.model_flops * plan.devices / plan.rows
    assert 1.0 < a_sample / matrices < 1.04
    assert plan.flops < 1.01 * plan.model_flops, "remat keeps the products"


def test_the_estimate_reaches_half_of_the_peak(plan: Plan) -> None:
    """At the assumed shares of the rates, which the plan prints."""
    assert plan.mfu(H100.flops) >= 0.5
    assert (H100.flops_reached, H100.memory_reached, H100.links_reached) == (0.75, 0.9, 0.8)
    assert 0 < plan.exposed < plan.seconds[0]


def test_bytes_and_arithmetic_a_device_stay_flat(config: Config, plan: Plan) -> None:
    """From one node to eight; on one no gradient leaves it."""
    small = make_plan(scaled(config, 8), H100)
    assert small.peak == pytest.approx(plan.peak, rel=0.02)
    assert small.flops == pytest.approx(plan.flops, rel=0.01)
    assert small.sent("NVLink") == pytest.approx(plan.sent("NVLink"), rel=0.02)
    assert small.sent("network") == 0
    assert uneven([small, plan]) == []
    assert small.network == 0


def test_nothing_is_made_for_the_rows_of_all_devices() -> None:
    """A chart has no hidden tokens: its mask is a constant, which the compiler would make whole."""
    given = h100_64.get_config()
    with given.unlocked():
        given.modalities = {"chart": given.modalities.chart}
    few, many = (make_plan(scaled(resolve(given), n), H100) for n in (8, 4096))
    assert many.peak < 1.05 * few.peak  # 1.78 with the mask whole
    assert uneven([few, many]) == []


def test_learned_weights_cost_little_beside_equal_ones(config: Config, plan: Plan) -> None:
    """FLOPs over a whole run, and memory: encoders take turns, whatever the fusion.

    Left to the compiler, the turn of the longest sequence came first with ours: 1.18.
    """
    equal = config.override({"model.fusion": "equal"})
    theirs = make_plan(equal, H100)
    assert plan.mean_flops(config) <= 1.15 * theirs.mean_flops(equal)
    assert plan.peak <= 1.1 * theirs.peak


def test_a_plan_that_does_not_fit_says_what_is_large_and_what_to_do(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            str(ROOT / "launch/plan.py"),
            f"--config={ROOT}/configs/h100_1.py",
            "--config.train.global_batch_size=256",
            "--config.train.grad_accum_steps=1",
        ],
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "the plan does not fit" in done.stderr
    assert "GB of a device that should give 72" in done.stderr
    assert "its largest buffers are" in done.stderr
    assert "Forecaster.encode" in done.stderr
    assert "Double config.train.grad_accum_steps" in done.stderr
    assert json.loads((tmp_path / "runs/h100_1/plan_1.json").read_text())["problems"]
