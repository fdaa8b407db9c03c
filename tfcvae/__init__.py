"""Conditional VAEs in Keras 3."""
