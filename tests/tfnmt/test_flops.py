from types import SimpleNamespace

import pytest

from tfnmt.flops import count_flops


def test_by_hand():
    # d = 2, f = 3, V = 5, one block, 2 source and 1 target tokens: encoder 2 * (16 + 8 + 12), decoder's own attention
    # 16 + 4, cross-attention 2 * 4 * 3 + 8, feed-forward 12, output 10 multiply-adds
    model = SimpleNamespace(width=2, feed_forward=3, vocabulary_size=5, blocks=1)
    assert count_flops(model, 2, 1) == 2 * (72 + 20 + 32 + 12 + 10)


def test_of_the_assignments_network():
    """About 2 GFLOPs forward and backward a pair of Multi30k, as three forward passes."""
    model = SimpleNamespace(width=512, feed_forward=128, vocabulary_size=8000, blocks=6)
    assert 3 * count_flops(model, 15, 16) == pytest.approx(2.3e9, rel=0.1)
