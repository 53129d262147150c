"""Labelling: what to ask, in which order, and what the answers say of heuristics and annotators."""
