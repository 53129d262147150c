"""Conversations written by a teacher model: what is wished for, what it writes, and the checks it must pass."""
