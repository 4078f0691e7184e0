"""A planted market through real files: five modalities from prices, posts, PNG, WAV and MP4.

    C=--config=planted_folder
    python studies/plant.py $C --sessions=4000
    fusionjax prepare $C
    fusionjax train $C
    fusionjax evaluate $C --run=runs/planted_folder --split=dev

The market is that of studies/configs/planted.py, seed 0, its first 4,000 samples a session each
from January 1990 on. What the fusion should find is known: numeric, text and image are informative,
audio and video are noise. One seed: direction right in 67.0 % of the 500 dev samples, 65.0 % with
the texts hidden and 63.8 % without the pictures; audio is dropped, but video, noise as well, keeps
its weight. A way to try real files, not a result: it is one market.
"""

from ml_collections import ConfigDict

from fusionjax.configs import base

NUMERIC = tuple(f"numeric_{i}" for i in range(8))  # columns of its bars


def get_config() -> ConfigDict:
    c = base.get_config()
    c.name = "planted_folder"
    c.data.source, c.data.root = "folder", "planted_market"
    c.data.image_size, c.data.video_size = (16, 192), (16, 128)
    c.data.audio_sample_rate, c.data.audio_seconds = 8000, 0.25
    c.data.splits = {
        "train": ("1990-01-03", "1999-11-22"),  # 2,500 samples
        "dev": ("1999-11-23", "2001-11-20"),  # 500
        "test": ("2001-11-21", "2005-11-09"),
    }
    c.modalities.numeric = base.modality("numeric", sessions=1, patch=1, channels=NUMERIC)
    c.modalities.text = base.modality("text", sessions=1, max_documents=1, author_buckets=1)
    c.modalities.image = base.modality("image", sessions=1)
    c.modalities.audio = base.modality("audio", sessions=1, hertz=8000, hop=200, mels=32, patch=3)
    c.modalities.video = base.modality("video", sessions=1, patch_frames=4)
    # Every move is as large as the last.
    c.targets.returns.weight = c.targets.volatility.weight = 0.0
    c.model.width, c.model.layers, c.model.dropout = 32, 1, 0.1
    c.train.steps, c.train.global_batch_size, c.train.modality_dropout = 1000, 128, 0.0
    c.train.learning_rate, c.train.ema_decay = 2e-3, 0.98
    c.distill.refit_fraction = 0.4  # encoders of files learn more slowly than those of vectors
    return c
