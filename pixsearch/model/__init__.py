"""The models: Pixel-BERT, its CNNs and checkpoints, dual encoders, and the runtimes that run them."""
