"""The model: Pixel-BERT, its CNNs, its checkpoints, and what runs it on this machine."""
