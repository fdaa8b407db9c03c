"""The page's third tab: sentences are translated; for the first, a map shows where the model looked."""

import html
from functools import cache

import gradio as gr

from experiments.page.photo import ONE_AT_A_TIME, refuse
from tfnmt import pretrained
from tfnmt.cleaning import clean
from tfnmt.translate import Translator, attention_map

MAX_CHARACTERS, MAX_LINES = 1000, 10
EXAMPLES = ("Two dogs are running on the beach.", "Where is the station?", "I don't know what she wants to say.")
MAP = (
    "Each row is a piece of the French sentence, each column one of the English; the darker a cell, the more the model "
    "looked there (cross-attention of the last block, mean over heads)."
)


def is_there():
    """Whether a translator comes with the repository."""
    return bool(pretrained.included())


def build():
    """Lays the tab out."""
    names = pretrained.included()
    with gr.Row():
        with gr.Column():
            english = gr.Textbox(
                EXAMPLES[0], label="English, a sentence a line", lines=3, max_length=MAX_CHARACTERS, elem_id="english"
            )
            model = gr.Dropdown([(describe(name), name) for name in names], value=names[0], label="Weights")
            beam = gr.Slider(1, 8, 5, step=1, label="Width of the beam; 1 takes the likeliest token each time")
            button = gr.Button("Translate", variant="primary", elem_id="translate")
            gr.Examples([[text] for text in EXAMPLES], english, cache_examples=False)
        with gr.Column():
            french = gr.Textbox(label="French", lines=3, interactive=False, elem_id="french")
            gr.Markdown(MAP)
            attended = gr.HTML(elem_id="attention")
    for event in (button.click, english.submit):
        event(translate, [english, model, beam], [french, attended], api_name=False, **ONE_AT_A_TIME)


@cache
def load(name):
    """A model and its tokenizer."""
    return pretrained.load(name)


@cache
def translator(name, beam):
    """A `Translator`, which keeps what it compiled."""
    return Translator(*load(name), beam, longest=pretrained.LONGEST)


def describe(name):
    """One line about included weights, from their record."""
    record = pretrained.read_record(name)
    return f"{name}: {record['variant']}, test BLEU {record['test']['bleu']:.1f}"


def translate(text, name, beam):
    """French for each line, and the attention map of the first where it is translated as a whole."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines or len(lines) > MAX_LINES:
        refuse(f"Write one to {MAX_LINES} sentences, one a line.")
    if len(text) > MAX_CHARACTERS:
        refuse(f"{MAX_CHARACTERS} characters are the most for this page.")
    french, (model, tokenizer) = translator(name, int(beam)).translate(lines), load(name)
    if len(tokenizer.encode([clean(lines[0])])[0]) >= pretrained.LONGEST:
        return "\n".join(french), "The first line is long, and was translated in parts: it has no map."
    return "\n".join(french), attention_table(*attention_map(model, tokenizer, lines[0], french[0]))


def attention_table(columns, rows, weights):
    """An attention map in HTML."""

    def head(piece):
        return f"<th>{html.escape(piece)}</th>"

    lines = [f"<tr><th></th>{''.join(map(head, columns))}</tr>"]
    for piece, row in zip(rows, weights, strict=True):
        cells = "".join(f'<td style="--weight:{weight:.2f}" title="{weight:.0%}"></td>' for weight in row)
        lines.append(f"<tr>{head(piece)}{cells}</tr>")
    return f'<table class="attention">{"".join(lines)}</table>'
