"""Made-up conversations between people and an agent that looks after machines: consistent, in voice, checked."""
