"""The trainer: data sets, objectives, training of both search stages, and evaluation."""
