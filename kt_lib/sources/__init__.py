"""Where records come from: a reader per form, streams in, records out; what cannot be used is set aside."""
