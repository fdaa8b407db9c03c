"""Where a training step's time goes, by kind of kernel, from TensorFlow's own profiler."""

import re
import tempfile
from collections import Counter
from pathlib import Path

import tensorflow as tf

KINDS = {
    "convolutions": "Conv",
    "matrix products": "MatMul|Einsum",
    "normalization": "BatchNorm",
    "random numbers": "Random",
    "sums and means": "Sum|Mean|Max|Min|Pool|Norm|BiasAddGrad|Softmax|L2Loss",
}
"""Kinds of kernels by a pattern of their names, the first that fits; all others are `elementwise and copies`."""

OTHERS = "elementwise and copies"


def kernel_shares(step, count=3):
    """Shares of kernels' time in a training step, which is taken `count` times under the profiler.

    `step` returns when the step is done. The result is `{kind: share}`, the largest first; shares sum to 1. Kernels
    that run side by side count each for the time that it takes.
    """
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        for _ in range(count):
            step()
        tf.profiler.experimental.stop()
        (trace,) = Path(folder).glob("plugins/profile/*/*.xplane.pb")
        seconds = _seconds_by_kernel(trace.read_bytes())
    total, shares = sum(seconds.values()), Counter()
    for kernel, spent in seconds.items():
        shares[kind_of(kernel)] += spent / total
    return dict(shares.most_common())


def kind_of(kernel):
    """The kind of a kernel, by the name of its operation, such as `"_MklNativeFusedConv2D"`."""
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, kernel)), OTHERS)


def _seconds_by_kernel(trace):
    """Seconds that the CPU's kernels took, by operation, from a serialized `XSpace`."""
    from tensorflow.tsl.profiler.protobuf.xplane_pb2 import XSpace

    seconds = Counter()
    for plane in XSpace.FromString(trace).planes:
        for line in plane.lines:
            for event in line.events:
                operation = plane.event_metadata[event.metadata_id].display_name  # empty of what is no kernel
                if operation:
                    seconds[operation] += event.duration_ps / 1e12
    return seconds
