"""How a U-Net is compiled, scored and drawn: on trimaps, or on classes of one's own."""

from dataclasses import replace

from experiments.unets.overlays import OVERLAY_LEGEND, class_overlay, coloured, legend, overlay
from experiments.unets.recipes import IDS
from tfseg.classes import IGNORE, remember
from tfseg.evaluate import evaluate, trivial_scores
from tfseg.evaluate_classes import evaluate_classes, trivial_class_scores
from tfseg.losses import LOSSES, SegmentationLoss
from tfseg.metrics import ClassIoU, ForegroundIoU, foreground_target
from tfseg.targets import TARGETS


class TrimapScoring:
    """Foreground scores of models trained on trimaps.

    Args:
        target: a name in `tfseg.targets.TARGETS`, the binary one under which models of three classes are scored, too.
    """

    legend = OVERLAY_LEGEND

    def __init__(self, target):
        self.target = target

    def channels(self, recipe):
        """A model's output channels."""
        return TARGETS[recipe.target]

    def compiled(self, recipe):
        """The loss and the metric to compile a model with."""
        return LOSSES[recipe.variant.loss], ForegroundIoU(recipe.target, self.target)

    def evaluate(self, model, examples, image_size, target, flip=False, pictures=True):
        """A `tfseg.evaluate.Evaluation`; `target` is that of the model's recipe."""
        return evaluate(model, examples, image_size, target, flip, self.target, pictures=pictures)

    def trivial(self, examples, image_size):
        """Scores of the predictors that need no model."""
        return trivial_scores(examples, image_size, self.target)

    def told(self, scores):
        """What a progress line says of test scores."""
        return f"test IoU {scores['iou']:.4f}, border excluded {scores['iou_border_excluded']:.4f}"

    def tile(self, ids):
        """A mask as `figures.tile_grid` takes it."""
        return ids

    def laid_over(self, image, prediction, truth):
        """A prediction over its photo."""
        return overlay(image, prediction, truth)

    def finish(self, path, image_size):
        """What a file of weights gets beyond what Keras saves: nothing."""


class ClassScoring:
    """Scores of models trained on class ids, those of a `tfseg.classes.Classes`; methods as of `TrimapScoring`."""

    def __init__(self, classes):
        self.classes = classes
        self.legend = legend(classes)

    def channels(self, recipe):
        return self.classes.channels

    def compiled(self, recipe):
        return SegmentationLoss(recipe.variant.loss, IGNORE), ClassIoU(len(self.classes.names), IGNORE)

    def evaluate(self, model, examples, image_size, target, flip=False, pictures=True):
        return evaluate_classes(model, examples, image_size, self.classes, flip, pictures=pictures)

    def trivial(self, examples, image_size):
        return trivial_class_scores(examples, image_size, self.classes)

    def told(self, scores):
        per_class = ", ".join(f"{name} {_number(iou)}" for name, iou in scores["per_class_iou"].items())
        return f"test IoU {scores['iou']:.4f} ({per_class})"

    def tile(self, ids):
        return coloured(ids, self.classes.colours)

    def laid_over(self, image, prediction, truth):
        return class_overlay(image, prediction, self.classes.colours)

    def finish(self, path, image_size):
        remember(path, self.classes, image_size)


def scoring_of(data, target):
    """The scoring of a dataset: by its classes where it has some, else by a trimap's `target`."""
    classes = getattr(data, "classes", None)
    return ClassScoring(classes) if classes else TrimapScoring(foreground_target(target))


def on_data(recipe, data):
    """A recipe for a dataset: where that has classes, their ids are the target."""
    return replace(recipe, target=IDS) if getattr(data, "classes", None) else recipe


def _number(iou):
    return "–" if iou is None else f"{iou:.3f}"
