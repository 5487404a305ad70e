"""Where photographs come from: folders of clean ones, folders of pairs, crops and their places, batches for training."""
