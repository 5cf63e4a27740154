"""How good is an answer, and which of two is better? Scores and preferences, by a judge or a reward endpoint."""
