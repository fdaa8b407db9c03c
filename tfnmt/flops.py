"""How much work a transformer's forward pass is."""


def count_flops(model, source, target):
    """Floating-point operations of the matrix products in a forward pass of one pair, two a multiply-add.

    A token of an encoder block costs 4 d^2 multiply-adds of projections, 2 d s of attention to s tokens and 2 d f of
    the feed-forward sublayer. A decoder block adds a second attention, whose keys and values source tokens pay for. The
    output costs d V for each target token.

    Args:
        model: a `tfnmt.model.Transformer`, with d its width, f its feed-forward units and V its vocabulary.
        source, target: tokens of each side.

    Returns:
        Int.
    """
    d, hidden = model.width, 2 * model.width * model.feed_forward
    encoder = source * (4 * d * d + 2 * d * source + hidden)
    own = target * (4 * d * d + 2 * d * target)
    cross = 2 * d * d * (target + source) + 2 * d * source * target
    decoder = own + cross + target * hidden
    return 2 * (model.blocks * (encoder + decoder) + target * d * model.vocabulary_size)
