"""What `benchmark.md` says of decoding and of the input pipeline's memory."""

from experiments.harness.reporting import report

MIB = 2**20


def decoding_part(decoding):
    """Markdown, a list of paragraphs.

    Args:
        decoding: that part of a record, as `decoding.measure_decoding` returns it.
    """
    header = ["search", "tokens/s, kept", "tokens/s, all anew", "times as fast"]
    rows = []
    for row in decoding["rows"]:
        kept, recomputed = (row["tokens_per_second"][name] for name in ("kept", "recomputed"))
        rows.append([row["search"], f"{kept:,.0f}", f"{recomputed:,.0f}", f"{kept / recomputed:.1f}"])
    text = (
        f"The assignment's transformer translates {decoding['sentences']} sentences of {decoding['source_tokens']} "
        f"tokens into {decoding['tokens']} tokens each, in {decoding['precision']}. *Kept*: keys and values of earlier "
        "tokens are kept. *All anew*: each token is computed from all before it."
    )
    return ["### Decoding", text, report.table(header, rows)]


def memory_part(memory):
    """Markdown of what the input pipeline takes, by kind of cache."""
    caches = {}
    for row in memory["rows"]:
        caches.setdefault(row["cache"], []).append(row)
    photos = [row["photos"] for row in next(iter(caches.values()))]
    header = ["cache", *[f"MiB, {count:,} photos" for count in photos], "images/s, second epoch"]
    rows = []
    for cache, found in caches.items():
        taken = [f"{(row['peak'] - row['start']) / MIB:,.0f}" for row in found]
        rows.append([f"`{cache}`", *taken, number(found[-1]["images_per_second"])])
    text = (
        f"What reading training data takes beyond TensorFlow itself, for datasets of different size, by `--cache` of "
        f"`run_unet_matrix.py`: photos of 375 x 500 pixels, training images of {memory['image_size']} x "
        f"{memory['image_size']}."
    )
    return ["### Memory of the U-Net's input pipeline", text, report.table(header, rows)]


def number(value):
    """Three significant digits, and more before the point: `0.0612`, `3.91`, `48.2`, `1,204`."""
    if value is None:
        return None
    if value < 1:
        return f"{value:.3g}"
    return f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f}"
