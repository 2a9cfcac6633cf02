"""The tests. Each folder is named after the package it tests."""

import os

# Set this before anything loads OpenMP, also for the commands that tests start. On tiny networks two threads mostly
# wait for each other: on a busy machine that took 34 s, and one thread takes 5 s.
os.environ["OMP_NUM_THREADS"] = "1"
