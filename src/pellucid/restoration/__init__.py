"""From a picture to a restored picture: padding, tiles, memory, precision, and model files."""
