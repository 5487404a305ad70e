"""Models: from a header to a module and back to a file; where their files are, and those that are embedded."""
