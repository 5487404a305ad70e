"""Training words of images: stage 1 says pictures in words, stage 2 cleans the words of degraded ones."""
