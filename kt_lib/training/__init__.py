"""Training: which engine, with what memory, from which columns, to an adapter that goes on after a crash."""
