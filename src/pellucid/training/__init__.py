"""Training: settings, objectives, the loop as a generator, averages, validation, checkpoints, distilling a prior."""
