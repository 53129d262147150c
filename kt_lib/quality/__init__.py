"""How good a conversation is to learn from, by what signs, and what that score is worth."""
