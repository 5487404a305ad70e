"""Training diffusion: pairs and prompts from one chain of degradations, and what is minimised."""
