"""Whether a search puts the right passage first: `python -m bench.quality`."""

import os

# numpy's threads wait for each other by spinning: on cores that others use too, cosine would take ten times as long
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
