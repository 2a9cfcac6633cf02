"""Objectives: modules that compute the losses of a stage."""
