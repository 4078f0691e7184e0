"""The machines that a mesh is planned for: their rates, and devices to compile for."""

import dataclasses
import os
from collections.abc import Sequence

import jax
from jax.experimental import topologies

from fusionjax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Gpu:
    """One accelerator in a node of several. Rates are the maker's, for each direction."""

    name: str
    device_kind: str  # as JAX calls it
    per_node: int
    flops: float  # dense bfloat16, a second
    memory: float  # bytes
    memory_rate: float  # bytes a second
    link_rate: float  # to the others of its node, bytes a second
    network_rate: float  # to other nodes, bytes a second
    target: str  # XLA's description of it

    # Shares of the rates that well-tuned programs reach. Assumed, not measured here.
    flops_reached: float = 0.75
    memory_reached: float = 0.9
    links_reached: float = 0.8


# NVIDIA, "H100 Tensor Core GPU", data sheet, SXM5: 989 TFLOP/s, 80 GB at 3.35 TB/s, NVLink 900 GB/s
# both ways; a 400 Gb/s adapter a GPU, as in DGX H100 ("DGX H100 System", data sheet).
H100 = Gpu(
    name="H100 SXM5 80 GB",
    device_kind="NVIDIA H100 80GB HBM3",
    per_node=8,
    flops=989e12,
    memory=80e9,
    memory_rate=3.35e12,
    link_rate=450e9,
    network_rate=50e9,
    target="""
gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048
  shared_memory_per_block: 49152 shared_memory_per_core: 233472
  shared_memory_per_block_optin: 232448 core_count: 132 fpus_per_core: 128
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000 l2_cache_size: 52428800 clock_rate_ghz: 1.98
  device_memory_size: 84929347584 cuda_compute_capability { major: 9 }
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 8 }
runtime_version { major: 12 minor: 9 patch: 0 }
device_description_str: "NVIDIA H100 80GB HBM3"
""",
)


def absent_devices(gpu: Gpu, nodes: int) -> Sequence[jax.Device]:
    """The devices of ``nodes`` nodes, for compiling only; nothing can run on them.

    Must be called before JAX touches a backend.

    Raises:
      InputError: the compiler for GPUs is not installed.
    """
    os.environ["JAX_SKIP_CUDA_CONSTRAINTS_CHECK"] = "1"
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    jax.config.update("jax_platforms", "cpu")  # constants are made on the CPU
    try:
        topology = topologies.get_topology_desc(
            platform="cuda",
            topology_name=gpu.name,
            target_config=gpu.target,
            topology=f"1x{nodes}x{gpu.per_node}",
        )
    except (RuntimeError, NotImplementedError, ValueError) as e:
        raise InputError(
            f"the compiler for GPUs is not installed ({e}); install the extra cuda12: "
            "pip install 'fusionjax[cuda12]', or make plan"
        ) from e
    return topology.devices
