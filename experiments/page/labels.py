"""The page's second tab: a test image, a drawing or a photo is sent in under any label."""

import base64
import html

import gradio as gr
import numpy as np
from PIL import Image

from experiments.harness.reporting import report
from experiments.harness.reporting.figures import png_bytes
from experiments.page import relabelling
from experiments.page.photo import ONE_AT_A_TIME, photo_input, refuse
from tfcvae import pretrained

INTRODUCTION = (
    "A conditional VAE is told an image and a label. Told a wrong label, it should show the class asked for, and keep "
    "the rest of the image. Judges, classifiers of real images, read what comes out."
)
DECODER = "Tell only the decoder; the encoder is told what the image shows"
PENS = ["#000000", "#cc3333", "#3366cc", "#338833", "#e0a020"]
WHITE_PAPER = np.full((280, 280, 3), 255, np.uint8)


def build(tab):
    """Lays the tab out. Models are loaded when `tab`, a `gradio.Tab`, is opened."""
    gr.Markdown(INTRODUCTION)
    chosen = gr.State()  # (image, its label or None)
    with gr.Row():
        with gr.Column(scale=2):
            data, samples, own_pictures = _images_to_send_in()
        with gr.Column(scale=3):
            asked, decoder_only, shown = _labels_and_outputs()
    gr.Markdown("### The same image under every label")
    shown.append(gr.HTML(elem_id="everything"))
    with gr.Accordion("Move the latent, in standard deviations of its prior", open=True), gr.Row():
        sliders = [gr.Slider(-4, 4, 0, step=0.25, label=f"latent {n}") for n in range(relabelling.MOVED)]
    about = gr.Markdown(elem_id="about")

    quiet = ONE_AT_A_TIME | {"api_name": False}
    begun = quiet | {"fn": start, "inputs": data, "outputs": [samples, chosen, asked, *sliders, about]}
    again = quiet | {"fn": send, "inputs": [data, chosen, asked, decoder_only, *sliders], "outputs": shown}
    tab.select(**begun).then(**again)
    data.input(**begun).then(**again)
    samples.select(pick, data, chosen, **quiet).then(**again)
    for button, picture in own_pictures:
        button.click(own, [data, picture], chosen, **quiet).success(**again)
    for event in (asked.input, decoder_only.input, *(slider.release for slider in sliders)):
        event(show_progress="hidden", **again)


def _images_to_send_in():
    """The dataset, its sheet of test images, and (button, picture) of a drawing and of a photo."""
    names = pretrained.included()
    data = gr.Radio(names, value=names[-1], label="Images of", elem_id="data")
    with gr.Tab("Test image"):
        gr.Markdown("Click on one.")
        samples = gr.Image(
            show_label=False, format="png", interactive=False, buttons=[], elem_id="samples", container=False
        )
    with gr.Tab("Draw"):
        drawing = gr.Sketchpad(
            WHITE_PAPER, show_label=False, height=360, canvas_size=WHITE_PAPER.shape[:2], fixed_canvas=True,
            layers=False, transforms=(), brush=gr.Brush(default_size=9, colors=PENS), buttons=[], elem_id="drawing",
        )  # fmt: skip
        send_drawing = gr.Button("Send it in", elem_id="send-drawing")
    with gr.Tab("Photo"):
        upload = photo_input(label="Your photo", sources=["upload", "webcam", "clipboard"], height=300)
        send_photo = gr.Button("Send it in")
    return data, samples, [(send_drawing, drawing), (send_photo, upload)]


def _labels_and_outputs():
    """The label asked for, who is told it, and [image sent in, output, what the judges read]."""
    asked = gr.Radio([], label="Send it in as", type="index", elem_id="asked")
    decoder_only = gr.Checkbox(label=DECODER)
    options = {"height": 250, "format": "png", "interactive": False}
    with gr.Row():
        image = gr.Image(label="In", buttons=[], elem_id="in", **options)
        output = gr.Image(label="Out", buttons=["download"], elem_id="out", **options)
    return asked, decoder_only, [image, output, gr.Markdown(elem_id="readings")]


def start(name):
    """All that changes with the dataset; its first test image goes in under its fourth label."""
    model = relabelling.load(name)
    names = model.class_names
    image = model.images[0], int(model.labels[0])
    moves = [gr.Slider(value=0, label=f"latent {n}") for n in model.moved]
    ask = gr.Radio(choices=names, value=names[3 % len(names)])
    return relabelling.sheet(model.images, len(names)), image, ask, *moves, model.describe()


def pick(name, event: gr.SelectData):
    """The test image that was clicked on, with its label."""
    model = relabelling.load(name)
    column, row = (place // relabelling.tile_side(model.shape) for place in event.index)
    index = min(row * len(model.class_names) + column, len(model.images) - 1)
    return model.images[index], int(model.labels[index])


def own(name, picture):
    """A drawing (Gradio's dictionary) or a photo (name, pixels) as an image to send in, without a label."""
    pixels = None
    if picture is not None:
        pixels = picture["composite"] if isinstance(picture, dict) else picture[1]
    image = None if pixels is None else relabelling.as_input(pixels, relabelling.load(name).shape)
    if image is None:
        refuse("Draw something first, or load a photo.")
    return image, None


def send(name, chosen, asked, decoder_only, *moves):
    """What is shown of an image sent in: the image, the output, the judges' readings, and the other labels' outputs."""
    if chosen is None or asked is None:
        return None, None, "", ""
    image, true = chosen
    model = relabelling.load(name)
    shown = model.under_every_label(image, true if decoder_only else None, moves)
    read_in, read_out = model.read(image[None]), model.read(shown)
    table = readings_table(model.class_names, true, asked, read_in, read_out)
    tiles = every_label(model.class_names, shown, read_out.values())
    return relabelling.enlarge(image), relabelling.enlarge(shown[asked]), table, tiles


def readings_table(names, true, asked, read_in, read_out):
    """What each judge reads in the image and in the output, in Markdown.

    Args:
        true, asked: labels; `true` is None for an image without a label.
        read_in, read_out: probabilities by judge, `(1, classes)` and `(classes, classes)`: a row for each label.
    """

    def likeliest(probabilities):
        best = int(np.argmax(probabilities))
        return f"{names[best]} ({probabilities[best]:.0%})"

    image = "your picture" if true is None else f"the image ({names[true]})"
    rows = []
    for judge, read in read_out.items():
        obeyed = np.sum(read.argmax(axis=1) == np.arange(len(names)))
        row = [judge, likeliest(read_in[judge][0]), f"**{likeliest(read[asked])}**", f"{obeyed} of {len(names)}"]
        rows.append(row)
    return report.table(
        ["judge", f"reads {image} as", f"reads it under {names[asked]} as", "labels obeyed"], rows, left=3
    )


def every_label(names, images, readings):
    """Images in a row, each with its label and what the judges read in it, in HTML."""
    figures = []
    for n, (name, image) in enumerate(zip(names, images, strict=True)):
        read = [int(probabilities[n].argmax()) for probabilities in readings]
        verdict = "✓" if set(read) == {n} else "read as " + " / ".join(html.escape(names[r]) for r in read)
        figures.append(
            f'<figure><img src="{_data_url(image)}" alt="under the label {html.escape(name)}">'
            f"<figcaption><b>{html.escape(name)}</b> {verdict}</figcaption></figure>"
        )
    return f'<div class="tiles">{"".join(figures)}</div>'


def _data_url(image):
    png = png_bytes(Image.fromarray(relabelling.enlarge(image, 0)))
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
