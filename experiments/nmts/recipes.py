"""What `nmt.py` trains: the models by dataset, the presets, and how both become one `Recipe`."""

from dataclasses import asdict, dataclass, fields, replace

NORMS = ("pre", "post")
"""Names that `tfnmt` knows, which imports Keras."""

FINE = (8, 12, 16, 20, 24, 28, 32, 40, 48, 64, 96, 152)
COARSE = (24, 64, 152)
"""Padded lengths of the batches. Fewer shapes cost more padding, and less time to compile where each is compiled."""


@dataclass(frozen=True)
class Recipe:
    """Everything that shapes one training, data and seed apart.

    Attributes:
        layers, width, heads, feed_forward, dropout, norm, label_smoothing: see `tfnmt.model.Transformer`.
        vocabulary: size of the byte-pair vocabulary that both languages share.
        longest: tokens that a training sentence has at most.
        surplus: tokens that a French training sentence is longer than the English one at most; 0 for any.
        batch_tokens: padded tokens of a batch, of each side.
        widths: padded lengths.
        epochs: over the training pairs.
        ema: momentum of the averaged weights, which are the ones that are validated and kept; 0 for none.
        learning_rate: peak of the one-cycle schedule, and `warmup`, the share of the steps up to it.
        beam, penalty: of the search on the test split; see `tfnmt.decoding.Beam`.
        search_tokens: padded source tokens that are translated at a time.
        train_limit, test_limit: use only so many pairs of each split; 0 for all.
    """

    layers: int = 6
    width: int = 512
    heads: int = 8
    feed_forward: int = 128
    dropout: float = 0.3
    norm: str = "pre"
    label_smoothing: float = 0.1
    vocabulary: int = 8000
    longest: int = 150
    surplus: int = 0
    batch_tokens: int = 4096
    widths: tuple = FINE
    epochs: int = 40
    learning_rate: float = 1e-3
    ema: float = 0.998
    warmup: float = 0.15
    beam: int = 5
    penalty: float = 1.0
    search_tokens: int = 1024
    train_limit: int = 0
    test_limit: int = 0

    def __post_init__(self):
        if self.norm not in NORMS:
            raise ValueError(f"norm must be one of {', '.join(NORMS)}. Received: norm={self.norm!r}")
        for name in ("layers", "width", "heads", "feed_forward", "batch_tokens", "search_tokens", "epochs", "beam"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1. Received: {name}={getattr(self, name)!r}")
        if self.width % self.heads or self.width % 2:
            received = f"width={self.width!r}, heads={self.heads!r}"
            raise ValueError(f"width must be even and divisible by heads. Received: {received}")
        if self.vocabulary < 259:
            raise ValueError(f"vocabulary must be at least 259. Received: vocabulary={self.vocabulary!r}")
        if not 1 <= self.longest <= 150:
            raise ValueError(f"longest must lie in [1, 150]. Received: longest={self.longest!r}")
        for name in ("dropout", "label_smoothing", "ema"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must lie in [0, 1). Received: {name}={getattr(self, name)!r}")
        for name in ("learning_rate", "penalty", "surplus", "train_limit", "test_limit"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be at least 0, and finite. Received: {name}={getattr(self, name)!r}")
        if not 0 < self.warmup < 1:
            raise ValueError(f"warmup must lie in (0, 1). Received: warmup={self.warmup!r}")

    def record(self):
        """The recipe as a flat dictionary."""
        return asdict(self)


ASSIGNMENT = Recipe()
SMALL = Recipe(layers=3, width=256, heads=4, feed_forward=384)
DIGITS = replace(
    SMALL,
    layers=2,
    width=128,
    feed_forward=256,
    dropout=0.05,
    vocabulary=400,
    epochs=12,
    learning_rate=3e-3,
    ema=0.0,
    beam=1,
)

MODELS = {
    "multi30k": {"assignment": ASSIGNMENT, "small": replace(SMALL, dropout=0.3)},
    "tatoeba": {"small": replace(SMALL, dropout=0.1, epochs=15), "assignment": replace(ASSIGNMENT, dropout=0.1)},
    "numbers": {"small": DIGITS},
}
"""Models by dataset and name. A dataset's first is trained by default. `assignment` is the network that the project was
asked for: N = 6, d_model 512, 8 heads, d_ff 128."""

OTHER = {"assignment": replace(ASSIGNMENT, dropout=0.1), "small": replace(SMALL, dropout=0.1)}
"""Models of any other parallel text."""

PRESETS = {
    "smoke": {
        "layers": 1,
        "width": 32,
        "heads": 2,
        "feed_forward": 64,
        "vocabulary": 300,
        "batch_tokens": 512,
        "epochs": 2,
        "train_limit": 400,
        "test_limit": 40,
        "beam": 2,
        "ema": 0.0,
        "widths": COARSE,
    },
    "cpu": {},
    "gpu": {"widths": COARSE, "search_tokens": 4096},
}
"""What a preset changes in a model's recipe: `smoke` for tests (seconds); `gpu` has fewer shapes to compile."""

CPU_EPOCHS = {"multi30k": {"assignment": 18}}
"""Epochs under `cpu` where the model's own would take a day of 2 cores."""

NUMBERS_SIZES = {"smoke": (400, 40, 40), "cpu": (50_000, 1_000, 2_000), "gpu": (200_000, 1_000, 2_000)}
"""Train, validation and test pairs of the procedural corpus, by preset."""

HELD_OUT = {"smoke": 40, "cpu": 2_000, "gpu": 2_000}
"""Validation and test pairs, each, of a corpus that does not come split, by preset."""


def models_of(dataset):
    """The models of a dataset, `{name: Recipe}`."""
    return MODELS.get(dataset, OTHER)


def pick_preset(requested, device):
    """Resolves `auto`: `gpu` on a GPU, `cpu` elsewhere."""
    return requested if requested != "auto" else device.lower()


def make_recipe(dataset, model, preset, overrides):
    """The recipe of one model under a preset; `overrides` are fields of `Recipe` that the user set.

    Raises:
        ValueError: for what no model can be built with.
    """
    changes = dict(PRESETS[preset])
    if preset == "cpu" and model in CPU_EPOCHS.get(dataset, {}):
        changes["epochs"] = CPU_EPOCHS[dataset][model]
    return replace(models_of(dataset)[model], **(changes | overrides))


OPTIONS = tuple(field.name for field in fields(Recipe))
"""What `make_recipe` takes as overrides."""
