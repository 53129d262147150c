"""The eight documented error patterns as data: many variations of each, the right answer and the wrong one checked."""
