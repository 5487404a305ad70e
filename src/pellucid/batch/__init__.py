"""Many files, one after another; a bad one never stops the others."""
