"""The tests. Each folder is named after the package it tests."""

import os

# Set this before anything loads OpenMP. The commands that tests start inherit it. On tiny networks, two threads mostly
# wait for each other: on a busy machine, two threads took 34 s, and one takes 5 s.
os.environ["OMP_NUM_THREADS"] = "1"
