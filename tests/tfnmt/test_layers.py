import keras
import numpy as np
import pytest

from tfnmt.layers import Attention, DecoderBlock, EncoderBlock, causal_mask, padding_mask, positional_encoding

WIDTH = 8
BLOCKS = (EncoderBlock, DecoderBlock)


def test_positional_encoding():
    table = np.array(positional_encoding(np.arange(4), WIDTH))
    for position in range(4):
        angles = [position / 10000 ** (2 * i / WIDTH) for i in range(WIDTH // 2)]
        np.testing.assert_allclose(table[position], [*np.sin(angles), *np.cos(angles)], rtol=1e-5, atol=1e-7)


def test_masks():
    assert np.array(padding_mask(np.array([[5, 2, 0]]))).tolist() == [[[True, True, False]]]
    assert np.array(causal_mask(3)).tolist() == [[[True, False, False], [True, True, False], [True, True, True]]]


def test_attention_is_keras_own():
    keras.utils.set_random_seed(0)
    attention, reference = Attention(2, 4), keras.layers.MultiHeadAttention(2, 4)
    x, memory = (np.random.default_rng(n).standard_normal((2, n, WIDTH)).astype("float32") for n in (3, 5))
    for layer in (attention, reference):
        layer.build(x.shape, memory.shape)
    attention.set_weights([np.random.default_rng(0).standard_normal(w.shape) for w in attention.get_weights()])
    reference.set_weights(attention.get_weights())
    mask = np.array([[[True] * 5], [[True] * 3 + [False] * 2]])
    options = {"attention_mask": np.repeat(mask, 3, axis=1), "return_attention_scores": True}
    for found, expected in zip(attention(x, memory, mask, scores=True), reference(x, memory, **options), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(attention(x, memory, mask), reference(x, memory, **options)[0], rtol=1e-5, atol=1e-6)
    own = reference(x, x, use_causal_mask=True)
    np.testing.assert_allclose(attention(x, None, causal_mask(3)), own, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_keras_attention_leaks_nothing_and_stays_finite(policy):
    """Keras's own layer under causal and padding masks, of which one leaves nothing to look at."""
    keras.utils.set_random_seed(0)
    attention = keras.layers.MultiHeadAttention(2, 4, dropout=0.1, dtype=policy)
    x = np.random.default_rng(0).standard_normal((2, 4, WIDTH)).astype("float32")
    mask = np.array([[[True, True, True, False]], [[False] * 4]])
    options = {"attention_mask": mask, "use_causal_mask": True, "return_attention_scores": True}
    out, scores = (np.array(part) for part in attention(x, x, training=True, **options))
    assert np.isfinite(out).all() and np.isfinite(scores).all()
    assert not np.triu(scores[0].astype("float32"), 1).any() and not scores[0, :, :, 3].any()


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_block_parameters_by_hand(norm):
    attention = 4 * WIDTH * WIDTH + 4 * WIDTH
    feed_forward = 2 * WIDTH * 12 + 12 + WIDTH
    counts = [sum(np.prod(w.shape) for w in block(WIDTH, 2, 12, norm=norm).weights) for block in BLOCKS]
    assert counts == [attention + feed_forward + 2 * 2 * WIDTH, 2 * attention + feed_forward + 3 * 2 * WIDTH]


def test_where_the_norm_stands():
    x = 3 + 5 * np.random.default_rng(0).standard_normal((1, 3, WIDTH)).astype("float32")
    mask = np.ones((1, 1, 3), bool)
    post = np.array(EncoderBlock(WIDTH, 2, 12, norm="post")(x, mask))
    np.testing.assert_allclose(post.mean(-1), 0, atol=1e-5)
    np.testing.assert_allclose(post.std(-1), 1, atol=1e-3)
    pre = EncoderBlock(WIDTH, 2, 12, norm="pre")
    for layer in (pre.out, pre.attention.output_dense):
        layer.kernel.assign(0 * layer.kernel)
    np.testing.assert_array_equal(pre(x, mask), x)  # the residual passes by every norm
