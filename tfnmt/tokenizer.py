"""One byte-pair vocabulary for both languages (Sennrich et al. 2016), over bytes, so that no input is unknown."""

import json
from pathlib import Path

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers

PAD, START, END = 0, 1, 2
"""Padding, start and end of a sentence. They are no words of the vocabulary, so no text can spell them."""

SPECIAL = 3

WORDS = r" ?\p{L}+'?| ?\p{N}|[^\S ]| ?[^\s\p{L}\p{N}]+|\s+"
"""No token crosses these borders: a word with the blank before it and an apostrophe after it (`l'`), a digit, a
no-break space, a run of punctuation."""


class Tokenizer:
    """Text to token ids and back, for both languages.

    Example:

    >>> tokenizer = Tokenizer.train(["Two dogs run.", "Deux chiens courent."], size=300)
    >>> tokenizer.decode(tokenizer.encode(["Two dogs run."])[0])
    'Two dogs run.'
    """

    def __init__(self, bpe):
        self._bpe = bpe
        self.size = SPECIAL + bpe.get_vocab_size()

    @classmethod
    def train(cls, sentences, size=8000):
        """Learns merges from sentences.

        Args:
            sentences: of both languages, those of the train split alone.
            size: of the vocabulary, at least 259: padding, start, end and 256 bytes; smaller where the sentences do
                not have so many pairs that occur twice.
        """
        if size < SPECIAL + 256:
            raise ValueError(f"size must be at least {SPECIAL + 256}. Received: size={size!r}")
        bpe = tokenizers.Tokenizer(models.BPE())
        bpe.normalizer = normalizers.NFC()
        split = pre_tokenizers.Split(Regex(WORDS), behavior="isolated")
        bpe.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(False, use_regex=False)])
        bpe.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=size - SPECIAL,
            min_frequency=2,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        bpe.train_from_iterator(sentences, trainer)
        return cls(bpe)

    def encode(self, sentences):
        """Lists of ids, without start and end."""
        return [[i + SPECIAL for i in found.ids] for found in self._bpe.encode_batch(list(sentences))]

    def decode(self, ids):
        """Text of ids, up to the first end of sentence; start and padding are left out."""
        ids = [int(i) for i in ids]
        ids = ids[: ids.index(END)] if END in ids else ids
        return self._bpe.decode([i - SPECIAL for i in ids if i >= SPECIAL])

    def pieces(self, ids):
        """The text of each id, for the axes of an attention map."""
        return ["<end>" if i == END else self._bpe.decode([int(i) - SPECIAL]) for i in ids]

    def to_json(self):
        return self._bpe.to_str()

    @classmethod
    def from_json(cls, text):
        """The tokenizer that `to_json` wrote; raises `ValueError` for anything else."""
        try:
            json.loads(text)
            return cls(tokenizers.Tokenizer.from_str(text))
        except Exception as error:  # tokenizers raises plain `Exception`
            raise ValueError(f"This is no tokenizer ({str(error)[:100]})") from None

    @classmethod
    def load(cls, path):
        return cls.from_json(Path(path).read_text(encoding="utf-8"))
