"""64 H100s: 8 nodes × 8 GPUs, data parallel across nodes, parameters split inside each.

    sbatch launch/slurm/h100_64.sbatch      # on the cluster, a process a GPU
    make plan                               # anywhere: compiled for that cluster without a GPU

and to rehearse it anywhere, on 64 virtual CPU devices and a small planted market:

    C="--config=h100_64 --cpu_mesh"
    python studies/plant.py $C --sessions=1500
    fusionjax train $C

Five modalities of a market folder (config.data.root): 4,096 sessions of prices, a token each, 512
texts, a chart of 256 sessions, a minute of sound (1,500 tokens), 32 frames of video (1,024). An
encoder of 4 layers 4,096 wide each, 12 · 4,096² parameters a layer, two such stacks for video, and
the fusion: 5.2 billion in all. What `fusionjax plan --config=h100_64` says:

    memory     16 bytes a parameter (float32 parameter, its average, two moments) over 8 devices
               = 10.4 GB; with batch, gradients and activations 46 of 80 GB at the peak
    arithmetic 6 FLOPs a parameter and token = 36 TFLOP a sample, 858 TFLOP a device and step
    traffic    gathers and scatters inside nodes; between them the gradients of two microbatches in
               bfloat16, 35 GB a node and step, 1.7 times what they are in float32
    estimate   1.66 s a step, MFU 52 % at assumed shares of the rates (the plan prints them). No GPU
               has run it

Prices come first, as the longest: an encoder's backward pass waits for those of all after it.

Siblings: h100_8.py (one node), h100_1024.py (128 nodes), h100_1.py (one GPU, a smaller model).
"""

from ml_collections import ConfigDict

from fusionjax.configs import base


def get_config() -> ConfigDict:
    c = base.get_config()
    c.name = "h100_64"
    c.data.source, c.data.root = "folder", "market"
    c.data.splits.train = ("2000-01-03", "2023-12-29")
    c.data.splits.dev = ("2024-01-02", "2025-12-31")
    c.data.audio_sample_rate, c.data.audio_seconds = 16_000, 60.0
    c.data.video_frames, c.data.video_size = 32, (128, 128)
    c.modalities.price = base.modality("numeric", sessions=4096, patch=1)
    c.modalities.text = base.modality("text", sessions=60, max_documents=512, author_buckets=4096)
    c.modalities.chart = base.modality("chart", sessions=256, height=64, patch_height=16)
    c.modalities.audio = base.modality("audio", sessions=60)
    c.modalities.video = base.modality("video", sessions=60)
    c.model.fusion = "distilled"
    c.model.width, c.model.layers, c.model.heads, c.model.mlp_ratio = 4096, 4, 32, 4
    c.model.attention_window = 128
    c.model.compute_dtype, c.model.remat = "bfloat16", "products"
    c.mesh.data, c.mesh.fsdp, c.mesh.tensor = 8, 8, 1
    c.train.global_batch_size, c.train.grad_accum_steps = 1536, 2
    c.train.steps, c.train.warmup_steps, c.train.learning_rate = 100_000, 2_000, 2e-4
    c.train.checkpoint_every, c.train.log_every = 500, 50
    c.train.ema_decay = 0.9999
    c.toy = (
        *c.toy,
        ("model.attention_window", 16),
        ("data.root", "planted_market"),
        ("data.splits.train", ("1990-01-03", "1994-12-30")),
        ("data.splits.dev", ("1995-01-03", "1995-11-30")),
        ("data.audio_sample_rate", 8000),
        ("data.audio_seconds", 0.25),
        ("data.video_frames", 8),
        ("data.video_size", (16, 128)),
        ("modalities.price.sessions", 64),
        ("modalities.text.max_documents", 8),
        ("modalities.text.author_buckets", 64),
        ("modalities.chart.sessions", 32),
        ("modalities.audio.hertz", 8000),
        ("modalities.audio.hop", 200),
        ("modalities.audio.mels", 32),
        ("modalities.audio.patch", 3),
        ("modalities.video.patch_frames", 4),
    )
    return c
