"""The tests; each folder is named after the package it tests."""

import os

# Before anything loads OpenMP, here and in the commands that tests start: on tiny networks two threads do nothing but
# wait for each other, and on a busy machine that took 34 s where one thread takes 5.
os.environ["OMP_NUM_THREADS"] = "1"
