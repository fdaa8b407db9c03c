"""What `nmt.py` trains: the models by dataset, the presets, and how both become one `Recipe`."""

from dataclasses import asdict, dataclass, replace

from experiments.harness.running.recipe import check, setting
from tfnmt.batches import WIDTHS

NORMS = ("pre", "post")
"""Names that `tfnmt` knows, which imports Keras."""

COARSE = (24, 64, 152)
"""Padded lengths of the batches, fewer than the usual `WIDTHS`: more padding, and less time where each is compiled."""


@dataclass(frozen=True)
class Recipe:
    """Everything that shapes one training, data and seed apart. For the network see `tfnmt.model.Transformer`."""

    layers: int = setting(6, "encoder blocks, and decoder blocks", 1, option={"metavar": "N"})
    width: int = setting(512, "d_model", 2, option={"metavar": "D"})
    heads: int = setting(8, "of each attention; they divide d_model", 1, option=True)
    feed_forward: int = setting(128, "d_ff", 1, option={"metavar": "D"})
    dropout: float = setting(0.3, "rate", most=0.9999, option=True)
    norm: str = setting("pre", "layer normalization before each sublayer or after it", names=NORMS, option=True)
    label_smoothing: float = setting(0.1, "of the loss", most=0.9999, option=True)
    vocabulary: int = setting(8000, "byte-pair tokens that both languages share", 259, option=True)
    longest: int = setting(150, "leave out longer training sentences", 1, 150, option={"metavar": "TOKENS"})
    surplus: int = setting(
        0, "leave out training pairs whose French is longer by more; 0 for none", option={"metavar": "TOKENS"}
    )
    batch_tokens: int = setting(4096, "padded tokens a step, of each side", 64, option=True)
    widths: tuple = setting(WIDTHS, "padded lengths")
    epochs: int = setting(40, "instead of the model's own", 1, option=True)
    learning_rate: float = setting(1e-3, "peak of the one-cycle schedule", option=True)
    ema: float = setting(
        0.998, "of the averaged weights, which are validated and kept; 0 for none", most=0.9999,
        option={"metavar": "MOMENTUM"},
    )  # fmt: skip
    warmup: float = setting(0.15, "share of the steps up to the peak", 0.0001, 0.9999)
    beam: int = setting(5, "width of the beam on the test split; 1 is greedy search", 1, option=True)
    penalty: float = setting(1.0, "of length; 0 prefers short translations", option=True)
    search_tokens: int = setting(1024, "padded source tokens that are translated at a time", 1)
    train_limit: int = setting(0, "use only so many pairs of the train split; 0 for all")
    test_limit: int = setting(0, "of each other split")

    def __post_init__(self):
        check(self)
        if self.width % self.heads or self.width % 2:
            received = f"width={self.width!r}, heads={self.heads!r}"
            raise ValueError(f"width must be even and divisible by heads. Received: {received}")

    def record(self):
        """The recipe as a flat dictionary."""
        return asdict(self)


ASSIGNMENT = Recipe(dropout=0.1, batch_tokens=2048, learning_rate=8e-4)
SMALL = Recipe(layers=3, width=256, heads=4, feed_forward=384)
TINY = Recipe(layers=4, width=128, heads=4, feed_forward=256, epochs=25, learning_rate=3e-3)
"""For corpora as small as Multi30k, with the sizes of Wu et al. 2021, "Good for Misconceived Reasons"."""
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
    "multi30k": {"assignment": ASSIGNMENT, "small": replace(SMALL, dropout=0.3), "tiny": TINY},
    "tatoeba": {
        "small": replace(SMALL, dropout=0.1, batch_tokens=2048, learning_rate=1.5e-3, epochs=15),
        "assignment": ASSIGNMENT,
    },
    "numbers": {"small": DIGITS},
}
"""Models by dataset and name. A dataset's first is trained by default. `assignment` is the network that the project was
asked for: N = 6, d_model 512, 8 heads, d_ff 128."""

OTHER = {"small": replace(SMALL, dropout=0.1), "assignment": ASSIGNMENT}
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

EPOCHS = {
    "cpu": {"multi30k": {"assignment": 14}, "tatoeba": {"small": 6}},
    "gpu": {"multi30k": {"assignment": 30}},
}
"""Epochs under a preset where they are not the model's own, which would take a day of 2 cores."""

NUMBERS_SIZES = {"smoke": (400, 40, 40), "cpu": (50_000, 1_000, 2_000), "gpu": (200_000, 1_000, 2_000)}
"""Train, validation and test pairs of the procedural corpus, by preset."""

HELD_OUT = {"smoke": 40, "cpu": 2_000, "gpu": 2_000}
"""Validation and test pairs, each, of a corpus that does not come split, by preset; a tenth of a small one."""


def models_of(dataset):
    """The models of a dataset, `{name: Recipe}`."""
    return MODELS.get(dataset, OTHER)


def make_recipe(dataset, model, preset, overrides):
    """The recipe of one model under a preset; `overrides` are fields of `Recipe` that the user set.

    Raises `ValueError` for what no model can be built with.
    """
    changes = dict(PRESETS[preset])
    epochs = EPOCHS.get(preset, {}).get(dataset, {})
    changes |= {"epochs": epochs[model]} if model in epochs else {}
    return replace(models_of(dataset)[model], **(changes | overrides))
