"""The page as a whole: its tabs, and how it is served."""

import signal
import threading

import gradio as gr

from experiments.harness.running.errors import UserError
from experiments.page import labels, photo, translation

TITLE = "U-Nets, conditional VAEs and a transformer in Keras 3"
MAX_UPLOAD = "25mb"
KEEP_SECONDS = 3600
"""How long files that the page received or made are kept while it is open."""

STYLE = """
.gradio-container {max-width: 1200px !important; margin: auto}
#samples img {image-rendering: pixelated; width: 100%; cursor: pointer}
#readings td {white-space: nowrap}
.tiles {display: grid; grid-template-columns: repeat(10, 1fr); gap: 8px}
.tiles figure {margin: 0; text-align: center; line-height: 1.25}
.tiles img {width: 100%; image-rendering: pixelated; border-radius: 4px}
.attention {border-collapse: collapse; font-size: 14px}
.attention th {font-weight: normal; padding: 3px 8px; text-align: right}
.attention td {min-width: 34px; height: 26px; border: 1px solid #8882; background: rgb(0 114 178 / var(--weight))}
footer {display: none !important}
"""


def build(folder, weights=()):
    """Builds the page, a `gradio.Blocks`, not launched.

    The files that it hands out go into `folder`; `weights` are paths of further models for photos.
    """
    with gr.Blocks(title=TITLE, fill_width=True, delete_cache=(KEEP_SECONDS,) * 2) as page:
        gr.Markdown(f"# {TITLE}\nEverything is computed on the machine that runs this page.")
        with gr.Tab("Photo to mask"):
            photo.build(folder, weights)
        with gr.Tab("Image under any label") as tab:
            labels.build(tab)
        if translation.is_there():
            with gr.Tab("English to French"):
                translation.build()
    return page


def serve(folder, host, port, weights=(), browser=True):
    """Serves the page until Ctrl-C, a SIGTERM or the terminal's end; raises `UserError` where the port can't be had."""
    page = build(folder, weights).queue(max_size=32)
    try:
        _, url, _ = page.launch(
            server_name=host, server_port=port, inbrowser=browser, share=False, quiet=True, prevent_thread_lock=True,
            max_file_size=MAX_UPLOAD, show_error=True, ssr_mode=False, pwa=False, mcp_server=False, run_history=False,
            enable_monitoring=False, footer_links=[], css=STYLE, theme=_theme(),
        )  # fmt: skip
    except OSError as error:
        raise UserError(f"can't listen on {host}, port {port or 'from 7860'}: {error}") from None
    print(f"The page: {url}   (Ctrl-C ends it)", flush=True)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as under `nohup`
            signal.signal(number, lambda *_: ended.set())
    ended.wait()
    page.close(verbose=False)
    print("ended")


def _theme():
    """Gradio's default look in fonts that every machine has: its own asks a server for them."""
    return gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
