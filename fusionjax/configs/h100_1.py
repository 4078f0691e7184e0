"""One H100: the modalities and lengths of h100_64 with a model a tenth of its size.

fusionjax train --config=h100_1
fusionjax plan --config=h100_1
"""

from ml_collections import ConfigDict

from fusionjax.configs import h100_64


def get_config() -> ConfigDict:
    c = h100_64.get_config()
    c.name, c.mesh.data, c.mesh.fsdp = "h100_1", 1, 1
    c.model.width, c.model.layers, c.model.heads = 1024, 6, 8
    c.train.global_batch_size, c.train.grad_accum_steps = 64, 4
    return c
