"""Training the networks that edit: what is missing is filled, what is grey is coloured."""
