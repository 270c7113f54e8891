"""Which checkpoints there are, and who may open them."""
