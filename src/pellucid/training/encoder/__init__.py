"""Training the degradation encoder and the heads that diagnose by it."""
