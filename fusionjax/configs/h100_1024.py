"""128 nodes of 8 H100s: h100_64 with sixteen times its rows and a higher learning rate.

    sbatch --nodes=128 launch/slurm/h100_64.sbatch --configs=configs/h100_1024.py
    fusionjax plan --config=h100_1024

docs/scaling.md says what breaks first at this size. The learning rate grows with the square root
of the batch (Malladi et al., 2022); it was not tried.
"""

from ml_collections import ConfigDict

from fusionjax.configs import h100_64


def get_config() -> ConfigDict:
    c = h100_64.get_config()
    c.name, c.mesh.data, c.train.global_batch_size = "h100_1024", 128, 24_576
    c.train.learning_rate, c.train.steps, c.train.checkpoint_every = 8e-4, 6_250, 100
    return c
