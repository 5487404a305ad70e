"""Training the encoder of sentences about photographs."""
