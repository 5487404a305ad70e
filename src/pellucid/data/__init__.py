"""Where photographs come from: folders of clean ones and of pairs, crops and their places, batches for training."""
