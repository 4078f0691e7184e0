"""64 H100s: 8 nodes × 8 GPUs, data parallel across nodes, parameters split inside each.

    python launch/train.py --config=configs/h100_64.py              # on the cluster
    python launch/train.py --config=configs/h100_64.py --cpu_mesh   # anywhere: 64 virtual devices

First form: the demo's data and modalities at the width and depth of a large model, so that mesh,
sharding rules, precision and accumulation are the real ones. --cpu_mesh keeps all of that and only
shrinks the widths and the run (config.toy): 20 steps into runs/h100_64_cpu_mesh. Elsewhere than on
64 GPUs it stops at once and says what it found. Starting one process a node (SLURM) comes with the
cluster scripts; until then one process must see all 64.
"""

from ml_collections import ConfigDict

from configs import demo


def get_config() -> ConfigDict:
    c = demo.get_config()
    c.name = "h100_64"
    c.mesh.data, c.mesh.fsdp, c.mesh.tensor = 8, 8, 1
    c.model.width, c.model.layers, c.model.heads, c.model.mlp_ratio = 2048, 16, 16, 4
    c.model.compute_dtype = "bfloat16"
    c.train.global_batch_size, c.train.grad_accum_steps = 4096, 2
    c.train.steps, c.train.warmup_steps, c.train.learning_rate = 100_000, 2_000, 2e-4
    c.train.checkpoint_every, c.train.log_every = 1_000, 50
    c.train.ema_decay = 0.9999
    return c
