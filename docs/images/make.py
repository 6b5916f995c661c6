"""``make gallery``: docs/gallery.md and its pictures, from a simulation of each shipped scenario.

What a scenario teaches is said in sentences, and held to: a test looks for each claim in the figures of the
same simulation.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

IMAGES: Final = Path(__file__).resolve().parent
PAGE: Final = IMAGES.parent / "gallery.md"
ROOT: Final = IMAGES.parents[1]

_PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome")
_FLAGS: Final = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--force-color-profile=srgb")
_LOAD_AND_LAG, _LOAD_IN_TIME = "load-versus-lag", "load-over-time"  # charts of the report


@dataclass(frozen=True)
class Claim:
    """A setting's figure, or what it is divided by another setting's, lies between two bounds.

    figure: the path of the figure in a setting's part of ``results.json``.
    """

    setting: str
    figure: str
    low: float
    high: float
    of: str | None = None


@dataclass(frozen=True)
class Lesson:
    """What a scenario teaches, in two sentences; the chart of its report that shows it; what it rests on."""

    chart: str
    words: str
    claims: tuple[Claim, ...]


_POLLS, _LAG, _LOST = "polls_per_job.mean", "detection_lag_s.mean", "lost_jobs.share"
_PEAK = "status_requests.per_second_peak"

LESSONS: Final[dict[str, Lesson]] = {
    "video-translation": Lesson(
        _LOAD_AND_LAG,
        "Asking every two seconds finds these jobs with 43 % fewer status requests than asking every "
        "second, 0.6 s later on average. Intervals that grow cost more requests and more "
        "waiting than that: backoff is an answer to failures, not a pace.",
        (
            Claim("constant-2s", _POLLS, 0.565, 0.575, of="constant-1s"),
            Claim("constant-2s", _LAG, 1.1, 1.15),
            Claim("constant-1s", _LAG, 0.5, 0.55),
            *(
                Claim(each, figure, 1.2, 9, of="constant-2s")
                for each in ("exponential", "exponential-full-jitter", "google-api-core-lro")
                for figure in (_POLLS, _LAG)
            ),
        ),
    ),
    "long-tail": Lesson(
        _LOAD_AND_LAG,
        "No single interval serves jobs of 20 milliseconds and of 20 seconds: a quarter of a second "
        "costs more than twice the requests of intervals that grow, four seconds leave everybody "
        "waiting for three. Intervals that grow with the age of the job are within half a second on "
        "average, for less than three requests a job.",
        (
            Claim("constant-250ms", _POLLS, 2, 3, of="linear"),
            Claim("constant-250ms", _POLLS, 2, 3, of="exponential"),
            Claim("constant-4s", _LAG, 3, 3.5),
            *(Claim(each, _LAG, 0.2, 0.5) for each in ("linear", "exponential")),
            *(Claim(each, _POLLS, 2, 3) for each in ("linear", "exponential")),
        ),
    ),
    "thundering-herd": Lesson(
        _LOAD_IN_TIME,
        "300 jobs that start together are polled together: without jitter all 300 requests come within "
        "a second, with full jitter 173, with decorrelated jitter 69. The price is waiting: "
        "decorrelated jitter learns 45 % later on average.",
        (
            Claim("no-jitter", _PEAK, 300, 300),
            Claim("full-jitter", _PEAK, 173, 173),
            Claim("decorrelated-jitter", _PEAK, 69, 69),
            Claim("decorrelated-jitter", _LAG, 1.445, 1.455, of="no-jitter"),
        ),
    ),
    "rate-limited": Lesson(
        _LOAD_IN_TIME,
        "Clients that ignore Retry-After send four times the requests of patient ones and learn no "
        "sooner. Heeding it saves a quarter of the requests, asking less to begin with saves three "
        "quarters.",
        (
            Claim("eager-ignoring", _POLLS, 3.8, 4.2, of="patient"),
            Claim("patient", _LAG, 0.5, 1.0, of="eager-ignoring"),
            Claim("eager-heeding", _POLLS, 0.7, 0.77, of="eager-ignoring"),
            Claim("patient", _POLLS, 0.23, 0.27, of="eager-ignoring"),
        ),
    ),
    "outage": Lesson(
        _LOAD_IN_TIME,
        "A small error budget needs the fewest requests because it gives up: eight seconds of outage "
        "cost it half of its jobs. A budget that outlasts the outage loses none, and then the pace of "
        "the retries is a price: backing off saves 29 % of the requests of an even pace and learns 1.7 "
        "s later.",
        (
            Claim("small-budget", _LOST, 0.48, 0.52),
            *(Claim(each, _LOST, 0, 0) for each in ("same-pace", "backoff", "backoff-full-jitter")),
            Claim("backoff", _POLLS, 0.705, 0.715, of="same-pace"),
            *(Claim("small-budget", _POLLS, 0, 1, of=each) for each in ("same-pace", "backoff")),
            Claim("same-pace", _LAG, 2.7, 2.8),
            Claim("backoff", _LAG, 4.4, 4.5),
        ),
    ),
    "metastable": Lesson(
        _LOAD_IN_TIME,
        "Eager retries keep a service down that has long come back: three quarters of the jobs are "
        "lost, with jitter even more, for their own requests leave no room for answers. Backing off "
        "after failures loses none.",
        (
            Claim("eager", _LOST, 0.74, 0.78),
            Claim("eager-jitter", _LOST, 1.0, 1.3, of="eager"),
            Claim("backoff", _LOST, 0, 0),
        ),
    ),
}
"""In the order in which they are shown."""


def page() -> str:
    """Return docs/gallery.md."""
    parts = [
        "# Gallery",
        "What each shipped scenario teaches, as simulated with its own seed. Each number is held "
        "against the figures by a\ntest; `make gallery` makes page and pictures anew, `python -m "
        "harness simulate NAME` the whole report.",
    ]
    for name, lesson in LESSONS.items():
        parts += [f"## {name}", lesson.words, f"![{lesson.chart} of {name}](images/{name}.png)"]
    return "\n\n".join(parts) + "\n"


def _simulated(name: str, folder: Path) -> Path:
    """Return the report of a shipped scenario in virtual time."""
    command = [sys.executable, "-m", "harness", "simulate", f"scenarios/{name}.yaml", "--out", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return folder / "report.html"


def main() -> None:
    """Write the page and its pictures."""
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if program is None:
        sys.exit(f"needs a browser, one of {', '.join(_PROGRAMS)}")
    with tempfile.TemporaryDirectory() as reports, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(_FLAGS))
        shown = browser.new_page(viewport={"width": 1000, "height": 660}, reduced_motion="reduce")
        for name, lesson in LESSONS.items():
            shown.goto(_simulated(name, Path(reports) / name).as_uri())
            chart = shown.locator(f"#{lesson.chart}")
            chart.locator(".main-svg").first.wait_for()
            if name == next(iter(LESSONS)):
                shown.screenshot(path=IMAGES / "report.png")
            # The legend of all charts stands above the first of them.
            shown.evaluate(
                "id => document.getElementById(id).before(document.querySelector('.legend'))", lesson.chart
            )
            chart.locator("..").screenshot(path=IMAGES / f"{name}.png")
        browser.close()
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
