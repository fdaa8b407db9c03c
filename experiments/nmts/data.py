"""The three splits of a parallel corpus, its tokenizer and its batches."""

import numpy as np

from experiments.harness.data.splits import PARTS, SPLIT_SEED
from experiments.harness.running.errors import UserError
from experiments.nmts import sources
from experiments.nmts.recipes import HELD_OUT, NUMBERS_SIZES
from tfnmt import corpora, numbers
from tfnmt.batches import Pairs, TrainingBatches
from tfnmt.tokenizer import Tokenizer


class ParallelText:
    """Clean pairs of English and French sentences in three splits, and what identifies them.

    The tokenizer is learned on the train split alone. Filters apply to training pairs only: validation and test keep
    all of theirs. Files that are no parallel text, and too small a corpus, are a `UserError`.

    Args:
        preset: decides how many pairs are held out, and the size of the procedural corpus.
        recipe: a `Recipe`; its vocabulary, filters and limits count.

    Attributes:
        corpora: `tfnmt.corpora.Corpus` by split.
        tokenizer: a `tfnmt.tokenizer.Tokenizer`.
        sizes: pairs by split.
    """

    def __init__(self, choice, preset, recipe):
        self.name, self.recipe, self._tokens = choice.name, recipe, {}
        try:
            parts = self._read(choice, preset)
        except (ValueError, OSError) as error:
            raise UserError(f"{error}.") from None
        limits = {"train": recipe.train_limit, "validation": recipe.test_limit, "test": recipe.test_limit}
        self.corpora = {part: parts[part].take(range(len(parts[part]))[: limits[part] or None]) for part in PARTS}
        train = self.corpora["train"]
        if not all(map(len, self.corpora.values())):
            raise UserError(f"{choice.name} has an empty split: {self._lengths()}")
        self.tokenizer = Tokenizer.train(train.english + train.french, recipe.vocabulary)
        self._filter()

    def _read(self, choice, preset):
        if choice.source == "builtin":
            return {part: numbers.corpus(part, n) for part, n in zip(PARTS, NUMBERS_SIZES[preset], strict=True)}
        read = self._texts(choice)
        if set(read) != set(PARTS):
            (whole,) = read.values()
            whole = corpora.without_duplicates(whole)
            groups = int(corpora.components(whole).max(initial=-1)) + 1
            sizes = dict.fromkeys(("validation", "test"), min(HELD_OUT[preset], max(1, groups // 10)))
            return corpora.split_components(whole, sizes, SPLIT_SEED)
        train = corpora.without_duplicates(read["train"])
        for part in ("validation", "test"):
            train = corpora.without(train, read[part])
            train.counts[f"empty in {part}"] = read[part].counts["empty"]
        return {**read, "train": train}

    @staticmethod
    def _texts(choice):
        """The corpora of a choice: one of each of `PARTS`, or one of all."""
        if choice.source == "prepared":
            read = {split: corpora.cleaned(*sides) for split, sides in sources.from_tfds(choice).items()}
            return read if set(read) == set(PARTS) else {"all": corpora.joined(read.values())}
        files = sources.find(choice.name, choice.data_dir)
        return {part: corpora.read_aligned(*p) if len(p) == 2 else corpora.read_tsv(*p) for part, p in files.items()}

    def _filter(self):
        """Leaves out training pairs that are too long, or whose French side is too much longer."""
        train = self.corpora["train"]
        tokens = self.tokenizer.encode(train.english), self.tokenizer.encode(train.french)
        lengths = np.array([list(map(len, side)) for side in tokens]).T
        kept = np.flatnonzero(corpora.short_enough(lengths, self.recipe.longest, self.recipe.surplus or None))
        if not len(kept):
            raise UserError(f"no training pair of {self.name} is short enough; raise --longest or --surplus")
        self.corpora["train"] = train.take(kept.tolist())
        self.corpora["train"].counts["too long"] = len(train) - len(kept)
        self.sizes = {part: len(self.corpora[part]) for part in PARTS}

    def _lengths(self):
        return {part: len(corpus) for part, corpus in self.corpora.items()}

    def tokens(self, part):
        """Token ids of a split: English and French, each a list of lists; long ones cut off at what a batch holds."""
        if part not in self._tokens:
            longest, corpus = self.recipe.widths[-1] - 2, self.corpora[part]
            sides = map(self.tokenizer.encode, (corpus.english, corpus.french))
            self._tokens[part] = [[ids[:longest] for ids in side] for side in sides]
        return self._tokens[part]

    def pairs(self, part, recipe):
        """The batches of a split under a recipe, a `tfnmt.batches.Pairs`."""
        return Pairs(*self.tokens(part), recipe.batch_tokens, recipe.widths)

    def training(self, recipe, seed):
        """Training batches, as `harness.running.training.train` takes them."""
        return TrainingBatches(self.pairs("train", recipe), seed)

    def identity(self):
        """What tells it from other data: name, sizes, hashes and vocabulary."""
        fingerprint = {part: {"size": len(c), "sha256": c.sha256()} for part, c in self.corpora.items()}
        return {"name": self.name, **self.sizes, "fingerprint": fingerprint, "vocabulary": self.tokenizer.size}

    def record(self):
        """Its identity, and what was left out, for `record.json`."""
        return self.identity() | {"left_out": self.corpora["train"].counts}

    def __str__(self):
        train, validation, test = self.sizes.values()
        counts = ", ".join(f"{count:,} {reason}" for reason, count in self.corpora["train"].counts.items() if count)
        left_out = f" (left out: {counts})" if counts else ""
        return (
            f"{self.name}: {train:,} train pairs{left_out}, {validation:,} for validation, {test:,} test pairs; "
            f"{self.tokenizer.size:,} words in the vocabulary"
        )
