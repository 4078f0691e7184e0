"""One node of 8 H100s: h100_64 with an eighth of its rows.

sbatch --nodes=1 launch/slurm/h100_64.sbatch --configs=configs/h100_8.py
fusionjax plan --config=h100_8    # 46 GB a device, as on 8 nodes
"""

from ml_collections import ConfigDict

from fusionjax.configs import h100_64


def get_config() -> ConfigDict:
    c = h100_64.get_config()
    c.name, c.mesh.data, c.train.global_batch_size = "h100_8", 1, 192
    return c
