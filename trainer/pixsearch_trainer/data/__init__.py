"""Read and check data sets of captioned pictures in their common formats."""
