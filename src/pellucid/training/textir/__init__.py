"""Training TextIR: a generator against a discriminator, told what an encoder sees of the whole picture."""
