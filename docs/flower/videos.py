"""The work that Celery does in the example: one task, of lognormal duration, that fails now and then.

Its course depends on the video's name alone, so that every setting is measured on the same videos.
"""

from __future__ import annotations

import math
import os
import random
import time
from typing import Final

from celery import Celery

MEDIAN_S: Final = float(os.environ.get("VIDEOS_MEDIAN_S", "1"))
SIGMA: Final = 0.5
ERROR_RATE: Final = 0.1

app = Celery("videos")  # broker and results: CELERY_BROKER_URL, CELERY_RESULT_BACKEND
app.conf.task_track_started = True


@app.task
def translate(video: str) -> str:
    """Take a while, then return the name of the translation, or raise ValueError."""
    draw = random.Random(video)  # noqa: S311 - a course to be repeated, not a secret
    time.sleep(draw.lognormvariate(math.log(MEDIAN_S), SIGMA))
    if draw.random() < ERROR_RATE:
        raise ValueError(f"there is no sound in {video}")
    return f"{video}.de"
