"""What a mask of a dataset says, and what a model is trained on: trimaps or class ids to targets."""

import os

import tensorflow as tf

from tfseg.checks import require
from tfseg.classes import IGNORE

PET, BACKGROUND, BORDER = 1, 2, 3
TRIMAPS = "Trimaps hold 1 (pet), 2 (background) and 3 (border), and policy ids takes class ids; these must lie"


TARGETS = {
    "foreground": 1,  # pet and border (1) against background (0)
    "pet": 1,  # pet (1) against border and background (0)
    "trimap": 3,  # pet (0), background (1), border (2), as in the article
}
"""Target policies of trimaps and the logit channels each one asks for."""
IDS = "ids"
"""The target policy of masks of class ids."""


def target_from_trimap(trimap, policy):
    """Turns a trimap into a training target.

    Args:
        trimap: uint8 tensor or array of {1, 2, 3}, any shape; for `"ids"` of class ids.
        policy: a name in `TARGETS`, or `"ids"`.

    Returns:
        Uint8 of the same shape: {0, 1} for `"foreground"` and `"pet"`, {0, 1, 2} for `"trimap"`, class ids for `"ids"`.

    Raises:
        ValueError: for an unknown policy.
    """
    if policy == "foreground":
        return tf.cast(tf.not_equal(trimap, BACKGROUND), tf.uint8)
    if policy == "pet":
        return tf.cast(tf.equal(trimap, PET), tf.uint8)
    if policy == "trimap":
        return tf.cast(trimap, tf.uint8) - 1
    if policy == IDS:
        return tf.cast(trimap, tf.uint8)
    raise ValueError(f"Unknown target policy. Choose one of: {', '.join((*TARGETS, IDS))}. Received: {policy!r}")


def checked_examples(examples, policy):
    """Examples whose images are bytes and whose masks hold what the policy takes.

    Args:
        examples: `tf.data.Dataset` of examples.
        policy: a name in `TARGETS`, or `"ids"`.

    Returns:
        A dataset of `{"image": ..., "segmentation_mask": ...}`: uint8 `(h, w, 3)` and `(h, w, 1)`, where a grey image
        has become RGB, and one with transparency has lost it.

    Raises:
        ValueError: for a dataset without these two features or with images of another type than uint8. A mask with
            other values is a `tf.errors.InvalidArgumentError` once it is read.
    """
    spec = examples.element_spec
    if not isinstance(spec, dict) or not {"image", "segmentation_mask"} <= set(spec):
        raise ValueError(f"Examples must be dictionaries with image and segmentation_mask. Received: {spec}")
    if spec["image"].dtype != tf.uint8:
        kind = spec["image"].dtype.name
        raise ValueError(f"The images of examples must be uint8 in [0, 255]. Received: images of type {kind}")
    target_from_trimap(tf.constant(PET, tf.uint8), policy)  # refuses an unknown policy
    least, most, what = (0, IGNORE, "Class ids must lie") if policy == IDS else (PET, BORDER, TRIMAPS)

    def check(example):
        mask = tf.cast(example["segmentation_mask"], tf.int32)
        mask = mask if len(mask.shape) == 3 else mask[..., None]
        low, high = tf.reduce_min(mask), tf.reduce_max(mask)
        wrong = tf.where(low < least, low, high)
        require((low >= least) & (high <= most), f"{what} in [{least}, {most}].", wrong)
        image = example["image"]
        image = tf.image.grayscale_to_rgb(image) if image.shape[-1] == 1 else image[..., :3]
        return {"image": image, "segmentation_mask": tf.cast(mask, tf.uint8)}

    return examples.map(check, os.cpu_count())


def counted(examples):
    """The size of a dataset.

    Raises:
        ValueError: if it is empty, endless, or not known without reading it.
    """
    count = int(examples.cardinality())
    if count == tf.data.UNKNOWN_CARDINALITY:
        remedy = "examples = examples.apply(tf.data.experimental.assert_cardinality(n))"
        raise ValueError(f"The number of examples is not known, as of a generator; tell it: {remedy}")
    if count < 1:
        what = "without an end" if count == tf.data.INFINITE_CARDINALITY else "empty"
        raise ValueError(f"examples must be a dataset of known size, not empty. Received: a dataset that is {what}")
    return count
