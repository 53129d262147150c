"""What holds for every test: one thread for each kernel, since more threads than free cores are far slower."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
