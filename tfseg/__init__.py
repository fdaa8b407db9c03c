"""U-Nets in Keras 3: pluggable blocks, losses, metrics, data for Oxford-IIIT Pet and your own masks, evaluation."""


def load_model(*args, **kwargs):
    """Loads a trained model of your own, or the included one; see `tfseg.predict.load_model`."""
    from tfseg.predict import load_model  # which imports TensorFlow

    return load_model(*args, **kwargs)
