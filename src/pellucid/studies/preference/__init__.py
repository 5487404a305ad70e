"""Which of two restorations looks better: the trials, the votes and what they say."""
