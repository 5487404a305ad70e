"""Does the prior help? One boosted model, taken apart: what R adds, whether it listens to the prior, and where."""
