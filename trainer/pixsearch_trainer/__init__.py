"""Training and measuring: data sets, objectives, the two stages' training, evaluation."""
