"""Tool calls: read them from prose and from agent output, check them, judge attempts, score recorded outputs."""
