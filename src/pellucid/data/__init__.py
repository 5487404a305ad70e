"""Where photographs come from: folders of clean ones, folders of pairs, and batches of crops for training."""
