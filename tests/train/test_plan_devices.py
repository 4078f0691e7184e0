"""What a plan asks of its numbers of devices, and what it says where they do not scale."""

import dataclasses

import pytest

from fusionjax.config import resolve
from fusionjax.configs import demo, h100_64
from fusionjax.errors import InputError
from fusionjax.train.plan import Plan, Traffic, scaled, uneven


def planned(nodes: int) -> Plan:
    """54 GB a device; sums over nodes send (n - 1)/n of 5 GB."""
    between = 5e9 * (nodes - 1) / nodes
    return Plan(
        name="by hand",
        gpu="H100",
        devices=8 * nodes,
        nodes=nodes,
        mesh={"data": nodes, "fsdp": 8, "tensor": 1},
        parameters=1,
        rows=192 * nodes,
        arguments=10e9,
        temporary=44e9,
        peak=54e9,
        flops=1.0,
        model_flops=1.0,
        weights_flops=0.0,
        traffic=(
            Traffic("all-gather", "fsdp", "NVLink", 1.0, 50e9),
            Traffic("all-reduce", "data", "network", 1.0, between),
        ),
        network=8 * between,
        gradient=20e9,
        donated=(1, 1),
        attention_kernels=1.0,
        seconds=(1.0, 1.0),
        exposed=0.0,
        digest="",
        problems=(),
    )


def test_a_plan_for_more_devices_keeps_the_rows_of_each() -> None:
    config = resolve(h100_64.get_config())
    for devices in (8, "512"):
        other = scaled(config, devices)
        assert other.mesh.data * 8 == int(devices)
        assert other.train.global_batch_size == 24 * int(devices)


@pytest.mark.parametrize("devices", ["12", "x", "0", "-8", "8.0", ""])
def test_devices_that_make_no_whole_replicas_are_refused(devices: str) -> None:
    with pytest.raises(
        InputError, match=f"'{devices}' is no multiple of 8, the devices of a replica"
    ):
        scaled(resolve(h100_64.get_config()), devices)


def test_a_config_that_takes_what_there_is_has_no_plan() -> None:
    with pytest.raises(InputError, match=r"config\.mesh\.data is -1, .*--config\.mesh\.data=8"):
        scaled(resolve(demo.get_config()), 8)


def test_what_grows_with_the_replicas_is_named() -> None:
    plans = [planned(n) for n in (1, 8, 64)]
    assert uneven(plans) == []
    wide = dataclasses.replace(plans[2], peak=60e9)
    (line,) = uneven([*plans[:2], wide])
    assert line.startswith("peak memory does not stay flat: 54.00, 54.00, 60.00 GB a device")
    traffic = tuple(dataclasses.replace(t, sent=1.1 * t.sent) for t in plans[1].traffic)
    lines = uneven([plans[0], dataclasses.replace(plans[1], traffic=traffic), plans[2]])
    assert [line.split(" does")[0] for line in lines] == [
        "traffic inside a node",
        "traffic between nodes",
    ]
