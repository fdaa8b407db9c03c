"""U-Nets in Keras 3: pluggable blocks, losses, metrics, data for Oxford-IIIT Pet, evaluation."""
