"""The page's third tab."""

import gradio as gr


def is_there():
    return False


def build(lock):
    gr.Markdown("soon")
