"""Results that someone recorded earlier: read, told what information each side had, and paired; nothing is run."""
