"""Training: settings, the loop as a generator, exponential averages, checkpoints, and distilling a prior into a student."""
