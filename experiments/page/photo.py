"""The page's first tab: a photo becomes a mask, an overlay and a cut-out."""

import json
import shutil
import tempfile
import time
from functools import lru_cache, partial
from pathlib import Path

import gradio as gr
from PIL import Image

from experiments.unets.overlays import pictures_of
from tfseg import predict
from tfseg.photos import PhotoError, read_photo

ONE_AT_A_TIME = {"concurrency_id": "models", "concurrency_limit": 1}
"""Options of every event that runs a model: models are not made to be called by several threads."""

MAX_MEGAPIXELS = 40
LONGEST_NAME = 60
"""Characters of a photo's name that its results keep: file systems take 255 bytes."""
KEPT_RESULTS = 20
"""Results whose files are kept, the newest; the page hands out copies."""


def refuse(message):
    """Shows a message on the page, and nothing in the terminal."""
    raise gr.Error(message, print_exception=False) from None


def photo_input(**options):
    """A `gradio.Image` whose value arrives as `segment.py` reads it: `(name, uint8 (height, width, 3))`, or None."""
    component = gr.Image(**options)
    component.preprocess = receive  # in place of Gradio's, which knows fewer formats and gives no bound to pixels
    return component


def receive(upload):
    """Reads an upload, a `gradio.data_classes.ImageData`, or refuses it in a line."""
    if upload is None:
        return None
    try:
        with Image.open(upload.path) as image:
            megapixels = image.width * image.height / 1e6
        if megapixels > MAX_MEGAPIXELS:
            refuse(f"The photo has {megapixels:.0f} megapixels; {MAX_MEGAPIXELS} are the most for this page.")
        return Path(upload.orig_name or "photo").stem[:LONGEST_NAME], read_photo(upload.path)
    except (OSError, PhotoError, Image.DecompressionBombError):
        refuse("This file can't be read as a photo.")


@lru_cache(maxsize=4)
def load(path):
    """A model for photos, as `tfseg.predict.load_model` returns it."""
    return predict.load_model(path)


def describe(path):
    """One line about included weights, from their record; the path of others."""
    if Path(path).parent != predict.WEIGHTS.parent:
        return str(path)
    record = json.loads(Path(path).with_suffix(".json").read_text())
    return f"{Path(path).stem}: {record['variant']}, test IoU {record['test']['iou']:.3f}"


def write_results(folder, name, pictures):
    """Writes pictures as PNG into a new folder below `folder`, and returns their paths."""
    for old in sorted(folder.glob("result-*"), key=lambda path: path.stat().st_mtime)[:-KEPT_RESULTS]:
        shutil.rmtree(old, ignore_errors=True)
    target = Path(tempfile.mkdtemp(prefix="result-", dir=folder))
    paths = [target / f"{name}-{kind}.png" for kind in pictures]
    for path, picture in zip(paths, pictures.values(), strict=True):
        picture.save(path, compress_level=3)
    return [str(path) for path in paths]


def build(folder, weights=()):
    """Lays the tab out.

    Results are written into `folder`; `weights` are paths of models beside the included ones.
    """
    models = [(describe(path), str(path)) for path in [*sorted(predict.WEIGHTS.parent.glob("*.keras")), *weights]]
    gr.Markdown("A U-Net finds the pet, or the classes of your own weights. The mask has the photo's own size.")
    found = gr.State(time_to_live=3600)  # what `find` returns
    with gr.Row():
        with gr.Column(scale=2):
            upload = photo_input(label="Photo", sources=["upload", "webcam", "clipboard"], height=330, elem_id="photo")
            button = gr.Button("Find the pet", variant="primary", elem_id="find")
            model = gr.Dropdown(models, label="Weights", elem_id="weights")
            threshold = gr.Slider(0.05, 0.95, 0.5, step=0.05, label="Threshold of the probability", elem_id="threshold")
            flip = gr.Checkbox(label="Average with the mirrored photo (twice the work)")
        with gr.Column(scale=3):
            shown = _results()
    options = ONE_AT_A_TIME | {"api_name": False}
    show_results = partial(show, folder)
    done = button.click(find, [upload, model, flip], found, **options)
    done.success(show_results, [found, threshold], shown, **options)
    threshold.release(show_results, [found, threshold], shown, **options)


def _results():
    options = {"format": "png", "interactive": False}
    laid_over = gr.Image(label="Overlay", height=330, buttons=["fullscreen"], elem_id="overlay", **options)
    with gr.Row():
        mask = gr.Image(label="Mask", height=220, buttons=[], elem_id="mask", **options)
        cut = gr.Image(label="Cut-out", height=220, buttons=[], image_mode="RGBA", **options)
    line = gr.Markdown(elem_id="photo-line")
    return [laid_over, mask, cut, gr.Files(label="Download", interactive=False, elem_id="files"), line]


def find(upload, model, flip):
    """What a model finds in a photo: `(name, photo, found, classes, seconds)`; see `pictures_of`."""
    if upload is None:
        refuse("Choose a photo first.")
    (name, photo), started = upload, time.perf_counter()
    try:
        network = load(model)
        classes = network.classes if predict.tells_classes(network) else None
        segment, part = (predict.segment_classes, 1) if classes else (predict.segment, 0)
        found = segment(network, photo, flip)[part]
    except ValueError as error:
        refuse(str(error))
    return name, photo, found, classes, time.perf_counter() - started


def show(folder, found, threshold):
    """Overlay, mask and cut-out at a threshold, the three files to download, and a line about them."""
    if found is None:
        return None, None, None, None, ""
    name, photo, found, classes, seconds = found
    pictures, told = pictures_of(photo, found, classes, threshold)
    paths = write_results(folder, name, pictures)
    height, width = found.shape
    return *paths, paths, f"{told} of {width} x {height} pixels, {seconds:.2f} s"
