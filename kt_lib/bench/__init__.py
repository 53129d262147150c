"""Rates that matter, each beside a bare baseline of the same run: one module an area, each with `measure()`."""
