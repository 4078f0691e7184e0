"""Every key of a run, with its unit and meaning. Other configs start from this one and state only
what they change. Any key can be overridden: ``--config.train.steps=100``."""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    c = ConfigDict()
    c.name = "base"  # names the run folder: runs/<name>
    c.seed = 0  # of parameters, sampling order and dropout

    c.data = ConfigDict()
    c.data.source = "sp500"  # a reader of fusionjax/data/sources: sp500, acl18, kdd17, folder
    c.data.root = ""  # folder of the raw files; empty for the embedded sp500
    c.data.prepared = "prepared"  # folder for array_record sets and the text-embedding cache
    c.data.calendar = "XNYS"  # exchange_calendars code: sessions, closes, half days
    c.data.decision_delay_minutes = 30  # decision_time = session close + this
    c.data.min_history = 5  # a sample needs this many earlier bars of its symbol that have a return
    # What the files of a market folder are decoded to, once, when it is prepared.
    c.data.image_size = (64, 64)  # pixels, height and width, grey
    c.data.audio_hertz = 16_000  # mono
    c.data.audio_seconds = 10.0  # the first of each file; shorter ones are padded
    c.data.video_frames = 8  # evenly spaced over each file
    c.data.video_size = (32, 32)
    c.data.media_seconds = 7200.0  # a longer file is set aside
    c.data.frames = 256  # the first of each table of feature frames; shorter ones are padded
    c.data.frame_features = 29  # columns of such a table
    # First and last *target* session of each split (the session after decision_time), inclusive.
    # A label counts in a split only if it is known by the split's last day.
    c.data.splits = ConfigDict(
        {"train": ("1999-01-01", "2016-12-31"), "dev": ("2017-01-01", "2018-12-31")}
    )
    # Codes of the audit's findings that would forbid training and are known: ("unit jumps",)
    c.data.accepted = ()

    # One entry a modality, by a name of your own: its `kind`, which is a file of
    # fusionjax/modalities, and the other keys that this file explains with their units.
    c.modalities = ConfigDict()

    # One entry a head, by the name of its file in fusionjax/heads. Each has `horizons` and the
    # `weight` of its loss. Their order is that of the model's outputs.
    c.targets = ConfigDict()
    c.targets.direction = ConfigDict()  # of the simple return
    c.targets.direction.horizons = (1,)  # sessions
    c.targets.direction.weight = 1.0  # of the cross-entropy, nats
    c.targets.direction.classes = ("down", "up")
    c.targets.direction.up = 0.0  # class up if the simple return >= this ...
    c.targets.direction.down = 0.0  # ... down if < this; between them a sample is not scored
    c.targets.returns = ConfigDict()  # quantiles of the log return
    c.targets.returns.horizons = (1, 5)  # sessions
    c.targets.returns.weight = 1.0  # of the pinball loss, in units of the trailing volatility
    c.targets.returns.quantiles = (0.05, 0.25, 0.5, 0.75, 0.95)  # their levels
    c.targets.volatility = ConfigDict()  # log of the realised volatility
    c.targets.volatility.horizons = (5,)  # sessions
    c.targets.volatility.weight = 1.0  # of the squared error

    c.model = ConfigDict()
    c.model.width = 64  # D, shared by all modalities
    # Transformer layers of each encoder; 0 hands vectors to the fusion as they are.
    c.model.layers = 2
    c.model.heads = 4
    c.model.mlp_ratio = 2  # hidden width of the feed-forward block / D
    c.model.attention = "window"  # window | linear; both cost O(N)
    c.model.attention_window = 16  # tokens seen to each side
    # distilled, or a rival: equal | concat | late | softmax_gate | attention_gate | confidence |
    # ogm_ge | qmf. docs/fusion.md says what each does.
    c.model.fusion = "distilled"
    c.model.confidence_threshold = 0.6  # of fusion "confidence": the share of the best class
    c.model.dropout = 0.1
    c.model.compute_dtype = "float32"  # of activations; bfloat16 on GPU. The rest is float32
    # What the backward pass does not compute again: each layer's input, or also the products of
    # its matrices (nine times the memory, a fifth less arithmetic).
    c.model.remat = "layer"

    c.loss = ConfigDict()  # what a fusion adds to the heads' losses
    c.loss.quality_rank = 0.1  # of fusion "qmf": confidence must fall where the loss rises
    c.loss.gradient_modulation = 0.3  # of fusion "ogm_ge": how hard a leading encoder is slowed

    # Fusion "distilled": its weights learn from the anchor, the latest sessions of the training
    # split, which the encoders and heads do not train on until the weights are settled.
    c.distill = ConfigDict()
    c.distill.anchor_share = 0.4  # of the training split's sessions
    c.distill.absorb_share = 0.7  # of the steps, at the end: weights fixed, all rows trained on
    c.distill.warmup_steps = 60  # steps before the weights move
    c.distill.burst_steps = 150  # then they move every step for so long, again once modalities
    # were dropped (half-way to the absorption) ...
    c.distill.every = 8  # ... and every so many steps otherwise
    # Which of the weights learn; the others stay 1, which is how parts are ablated.
    c.distill.learned = ("modality", "rater", "feature", "joint")
    c.distill.learning_rate = 0.03  # of the weights (Adam)
    c.distill.soft_labels = 0.3  # share of the teacher in the training labels
    c.distill.modality_cost = 0.01  # nats that a modality of full weight must earn
    # Nats that a modality's features must earn together to have half their weight.
    c.distill.feature_cost = 0.05
    c.distill.prior = 3.0  # pull of equal weights, in anchor sessions
    c.distill.elimination_margin = 0.0  # standard errors a modality must be missed by to stay

    c.train = ConfigDict()
    c.train.split = "train"  # of data.splits
    c.train.steps = 400  # optimiser updates
    c.train.global_batch_size = 256  # samples an update, over all devices
    c.train.grad_accum_steps = 1  # microbatches an update
    c.train.learning_rate = 1e-3  # peak; linear warm-up, then cosine to zero
    c.train.pretrained_rate = 0.02  # of the learning rate, for a text encoder that is fine-tuned
    c.train.warmup_steps = 40
    c.train.weight_decay = 0.05  # decoupled; matrices only
    c.train.clip_norm = 1.0  # global gradient norm
    c.train.ema_decay = 0.99  # of the averaged parameters that evaluate and predict use
    c.train.modality_dropout = 0.1  # chance that a present modality is hidden from a sample
    c.train.frozen = ()  # regexes over parameter paths that keep their values
    c.train.rank = 0  # of the change of each matrix of the encoders' layers; 0: of any rank
    # Draw samples so that none tilts the batches: "symbol", "sector", or the kind of items whose
    # sources count (text: authors; image, audio, video). Empty: every sample alike.
    c.train.balance = ""
    c.train.coreset_share = 1.0  # of the training samples; fewer are chosen by ...
    c.train.coreset_by = ""  # ... the models of this run folder, or "random"
    c.train.checkpoint_every = 200  # steps
    c.train.keep_checkpoints = 2
    c.train.log_every = 20  # steps
    c.train.hang_seconds = 1800.0  # without a step that end the process, with its stacks

    # What a training does against its own accidents (docs/operations.md).
    c.guard = ConfigDict()
    c.guard.window = 40  # updates whose losses and gradient norms are looked back on; 0: no guard
    # An update whose gradient is this many robust deviations (of the log norm) above the median of
    # the window is skipped; 0 skips none. A non-finite one is never made.
    c.guard.spike = 8.0
    c.guard.spikes_in_row = 3  # so many at the most, then one is made
    # The loss has rebounded when the median of a window is this many standard errors above the
    # best one; the state goes back to the best one. 0 never does.
    c.guard.rebound = 6.0
    c.guard.rate = 0.5  # factor on the learning rate each time that it goes back
    c.guard.rollbacks = 3  # so many times; then rebounds are only told, and numbers lost end it
    # A state of at most so many bytes a device keeps its best copies there, a larger one goes back
    # to checkpoints.
    c.guard.memory_bytes = 5e8
    c.guard.quarantine = 64  # samples that may be taken out for breaking the loss, at the most

    # Training inputs changed at random (train/augment.py); beside train.modality_dropout.
    c.augment = ConfigDict()
    c.augment.numeric_jitter = 0.0  # standard deviation of noise, in those of the channel
    c.augment.numeric_scale = 0.0  # standard deviation of the log of a factor a window
    c.augment.numeric_slice = 0.0  # up to this share of a window's sessions, the oldest, hidden
    c.augment.numeric_permute = 0.0  # chance that a group of channels is another sample's ...
    c.augment.numeric_groups = ()  # ... each a tuple of names: what might be a shortcut
    c.augment.text_dropout = 0.0  # chance that a text is left out, but for the newest
    c.augment.author_masking = 0.0  # chance that a sample's authors are unknown
    c.augment.image_shift = 0  # up to so many pixels along both axes; not for charts
    c.augment.image_flip = 0.0  # chance of left and right exchanged; not for charts
    c.augment.image_cutout = 0.0  # side of a black box, as a share; charts and video too
    c.augment.audio_time = 0.0  # up to this share of a clip silenced
    c.augment.audio_band = 0.0  # up to this share of its frequencies silenced

    c.mesh = ConfigDict()  # devices along each axis; -1 (at most one) takes what is left
    c.mesh.data = -1  # replicas: across nodes
    c.mesh.fsdp = 1  # parameters split: inside a node
    c.mesh.tensor = 1  # matrix columns split

    # Where settings and floors are chosen: folds inside the training split.
    c.selection = ConfigDict()
    c.selection.folds = 3
    c.selection.scheme = "walk_forward"  # or purged_k_fold, combinatorial (evaluate/splits.py)
    c.selection.fold_sessions = 42  # length of each window of walk_forward
    c.selection.held_out = 2  # of the folds, together, in combinatorial
    c.selection.embargo = 0  # sessions around a test window that training keeps clear of

    # Which settings launch/sweep.py tries; a point is scored on the folds above.
    c.sweep = ConfigDict()
    c.sweep.method = "grid"  # every combination; random: some; sensitivity: one key at a time
    c.sweep.space = ()  # (dotted key, its values) ...
    c.sweep.points = 20  # of random
    c.sweep.seeds = 1  # of each point

    c.evaluate = ConfigDict()
    c.evaluate.split = "dev"  # what launch/evaluate.py scores unless told otherwise
    c.evaluate.bootstrap_samples = 2000
    c.evaluate.block_sessions = 5  # consecutive days resampled together
    c.evaluate.market_channel = "nasdaq_ret"  # what "reverse the market's last day" looks at
    c.evaluate.locked = ()  # splits that are scored once; --force scores one again
    # A score too good to be true is no result until this says why it is true after all.
    c.evaluate.leak_answer = ""
    c.evaluate.abstain_below = 0.5  # launch/predict.py makes no call that is less likely

    c.finetune = ConfigDict()
    c.finetune.split = "train"  # its rows after the parent's last matured label are the new ones
    c.finetune.steps = 40
    c.finetune.learning_rate = 2e-4
    c.finetune.warmup_steps = 4
    c.finetune.replay_share = 0.5  # share of each batch drawn from the parent's rows, of which
    c.finetune.replay_rows = 20_000  # are kept: a reservoir, or, with a half-life above 0, ...
    c.finetune.replay_half_life = 0  # ... more of the recent ones; sessions
    c.finetune.frozen = ()  # regexes over parameter paths, e.g. "encoders_text/.*"
    c.finetune.rank = 0  # of the change of each matrix of the encoders' layers; 0: of any rank
    c.finetune.to_parent = 0.0  # weight of half the squared distance to the parent's parameters
    c.finetune.teacher = 0.0  # share of the parent's forecast in the training labels
    # Newest sessions with matured labels that an update does not train on: it replaces the parent
    # unless it is worse there beyond the paired 95 % interval. 0 promotes unseen.
    c.finetune.gate_sessions = 20
    c.finetune.every = 5  # sessions between two updates of a stream ...
    c.finetune.retrain_every = 21  # ... and between two trainings from scratch, where it has such

    # What launch/serve_daily.py watches: inputs, labels, errors and fusion weights of each session.
    c.drift = ConfigDict()
    c.drift.detector = "PageHinkley"  # or ADWIN, KSWIN (of river)
    c.drift.run_length = 1000.0  # sessions to a false alarm of any series, on average
    c.drift.reference_sessions = 500  # the last of training
    c.drift.recent_sessions = 60  # that are compared with them
    # What an alarm leads to: log; finetune, today; widen, the same with more replay; retrain.
    c.drift.action = "finetune"

    # A study of the fusion alone, on vectors: `studies/ladder.py`.
    c.ladder = ConfigDict()
    c.ladder.data = "planted"  # planted | maec | digits | candles
    c.ladder.variant = "full"  # planted: regime; maec: year; digits: corruption
    c.ladder.root = ""  # folder of the raw data, or the file of the digits
    c.ladder.rungs = ()  # modalities of each rung
    c.ladder.oracle = ()  # the informative ones, where that is known
    c.ladder.seeds = 10
    c.ladder.first_seed = 0
    c.ladder.fusions = ()  # (row name, dotted overrides), the first being ours

    # What --cpu_mesh changes, unless a flag says otherwise: the same program, precision, mesh names
    # and rules at toy widths.
    c.toy = (
        ("model.width", 32),
        ("model.layers", 2),
        ("model.heads", 4),
        ("train.steps", 20),
        ("train.warmup_steps", 2),
        ("train.learning_rate", 1e-3),
        ("train.global_batch_size", 128),
        ("train.log_every", 1),
        ("distill.warmup_steps", 4),
        ("distill.absorb_share", 0.3),
    )
    return c.lock()
