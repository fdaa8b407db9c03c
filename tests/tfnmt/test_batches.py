import numpy as np
import pytest

from tfnmt.batches import WIDTHS, Pairs, TrainingBatches
from tfnmt.tokenizer import END, PAD, START

RNG = np.random.default_rng(0)
LENGTHS = RNG.integers(1, 30, 400)
ENGLISH = [RNG.integers(3, 90, n).tolist() for n in LENGTHS]
FRENCH = [RNG.integers(3, 90, max(1, n + d)).tolist() for n, d in zip(LENGTHS, RNG.integers(-3, 4, 400), strict=True)]


@pytest.fixture(scope="module")
def pairs():
    return Pairs(ENGLISH, FRENCH, batch_tokens=256)


def unpadded(rows):
    return [[int(i) for i in row if i != PAD] for row in rows]


def test_every_pair_once_in_a_bounded_set_of_shapes(pairs):
    found, shapes = [], set()
    for inputs, labels in pairs.dataset().as_numpy_iterator():
        assert inputs["source"].shape == inputs["target"].shape == labels.shape
        shapes.add(labels.shape)
        found += zip(*map(unpadded, (inputs["source"], inputs["target"], labels)), strict=True)
    found = [row for row in found if row[0]]
    expected = [([*e, END], [START, *f], [*f, END]) for e, f in zip(ENGLISH, FRENCH, strict=True)]
    assert sorted(found) == sorted(expected)
    assert shapes == set(pairs.shapes()) and len(shapes) <= len(WIDTHS) == 12
    assert all(width in WIDTHS and rows % 8 == 0 and rows * width <= max(256, 8 * width) for rows, width in shapes)


def test_no_batch_of_a_bucket_is_much_smaller(pairs):
    for bucket in pairs.batches():
        sizes = [len(positions) for _, positions in bucket]
        assert max(sizes) - min(sizes) <= 1 and max(sizes) <= pairs.rows(bucket[0][0])


def test_an_epoch_is_a_function_of_seed_and_number(pairs):
    def order(seed, epoch):
        return [(width, part.tolist()) for width, part in TrainingBatches(pairs, seed).order(epoch)]

    assert order(0, 3) == order(0, 3)
    assert order(0, 3) != order(0, 4) and order(0, 3) != order(1, 3)
    assert sorted(i for _, part in order(0, 3) for i in part) == list(range(400))


def test_batches_of_one_shape_follow_each_other(pairs):
    data = TrainingBatches(pairs, run=3)
    widths = [width for width, _ in data.order(0)]
    counts = {bucket[0][0]: len(bucket) for bucket in pairs.batches()}
    changes = 1 + sum(one != other for one, other in zip(widths, widths[1:], strict=False))
    assert changes <= sum(-(-count // 3) for count in counts.values())
    assert (data.steps, data.examples) == (len(widths), 400)
    assert len(data.epoch(0)) == data.steps


def test_padding():
    pairs = Pairs([[5] * 3, [5] * 7, [5] * 11], [[5] * 3, [5] * 7, [5] * 11], batch_tokens=8, widths=(4, 12))
    # 24 real tokens of a side with the ends, in two batches of 8 rows that hold one sentence and two
    shares = pairs.padding()
    assert shares["buckets"] == pytest.approx(1 - 24 / (8 * 4 + 8 * 12))
    assert shares["longest_of_batch"] == pytest.approx(1 - 24 / (8 + 8 + 12))
    assert shares["longest_of_all"] == pytest.approx(1 - 24 / 36)


@pytest.mark.parametrize(
    "english, french, message",
    [([], [], "at least one"), ([[5]], [], "equally many"), ([[5] * 152], [[5]], "152 tokens does not fit")],
)
def test_bad_pairs(english, french, message):
    with pytest.raises(ValueError, match=message):
        Pairs(english, french)
