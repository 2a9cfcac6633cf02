"""The model: Pixel-BERT, its CNNs and checkpoints, and the runtimes that compute it."""
