"""Conditional VAEs in Keras 3."""


def load_model(*args, **kwargs):
    """Loads a conditional VAE of your own, or an included one; see `tfcvae.pretrained.load_model`."""
    from tfcvae.pretrained import load_model

    return load_model(*args, **kwargs)
