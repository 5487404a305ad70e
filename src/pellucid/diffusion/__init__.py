"""Networks that restore by sampling: a diffusion prior, how the degraded picture enters it, and what it is told.

Nothing is imported here, so that who reads the grammar or the controls loads no torch.
"""
