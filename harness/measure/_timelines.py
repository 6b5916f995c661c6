"""A few jobs, poll by poll, under every setting: the picture that says what polling is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Final

from harness.measure._numbers import in_seconds, number
from harness.measure._pictures import NEUTRAL, Picture, Rows, Style, Trace, by_setting, height_of
from harness.measure._rows import DETECTED, Run

if TYPE_CHECKING:
    import polars as pl

SAMPLED_FROM: Final = 200
"""The sample is taken from the first jobs of the first repeat, so that a twin need not simulate more."""

_WORDS: Final = {0.1: "a short job", 0.5: "a middling job", 0.9: "a long job"}
_ALIKE: Final = 1.05  # times: jobs that take no longer than this are alike
_HEAD, _END = 40, 20  # polls: of more than these together, those between are left out
_DRAWN: Final = _HEAD + _END

_PENDING, _NO_NEWS, _DONE = "told: not yet", "no news", "told: done"
_ASKED: Final = {_PENDING: ("circle-open", 9), _NO_NEWS: ("x", 10), _DONE: ("circle", 12)}
"""What a poll was told, and its mark."""


def sample_keys(jobs: pl.DataFrame) -> tuple[int, ...]:
    """Return the keys of a short, a middling and a long job that every setting knows the end of.

    ``jobs`` has the columns of JobRow. Where durations are unknown, the time until they were learnt counts.
    """
    import polars as pl

    if jobs.is_empty():
        return ()
    first = jobs.filter(jobs["repeat"] == jobs["repeat"].min())
    early = first.group_by("key").agg(pl.col("planned_at_s").min()).sort("planned_at_s", "key")
    early = early.head(SAMPLED_FROM)
    known = first.filter(
        first["key"].is_in(early["key"].to_list())
        & first["outcome"].is_in(DETECTED)
        & first["finished_at_s"].is_not_null()
    )
    length = pl.coalesce("duration_s", "completion_latency_s").mean().alias("length")
    everywhere = known.group_by("key").agg(pl.len().alias("settings"), length)
    everywhere = everywhere.filter(pl.col("settings") == first["setting"].n_unique()).sort("length", "key")
    keys = everywhere["key"].to_list()
    return tuple(dict.fromkeys(keys[round(share * (len(keys) - 1))] for share in _WORDS)) if keys else ()


def timelines(run: Run, styles: Mapping[str, Style]) -> Picture | None:
    """Draw when each setting asked about the sampled jobs; None where polls were not kept one by one."""
    if run.sample is None or run.sample.is_empty():
        return None
    keys = sample_keys(run.jobs)
    if not keys:
        return None
    names = list(styles)
    rows: Rows = []
    most = 0
    variants: dict[str, Sequence[Trace]] = {}
    words = list(_WORDS.values()) if len(keys) == len(_WORDS) else [f"job {key}" for key in keys]
    lengths = run.jobs.filter(run.jobs["key"].is_in(keys))["duration_s"].drop_nulls()
    if len(lengths) and float(lengths.min()) * _ALIKE > float(lengths.max()):  # type: ignore[arg-type]
        keys, words = keys[:1], ["a job"]
    for key, word in zip(keys, words, strict=True):
        seen = [each for place, name in enumerate(names) if (each := _seen(run, name, key, place))]
        if not seen:
            continue
        length = sum(each["finish"] for each in seen) / len(seen)
        most = max(most, *(len(each["polls"]) for each in seen))
        variants[f"{word}, {in_seconds(length)}"] = _traces(seen, styles)
        rows += [
            [
                each["name"],
                word,
                number(len(each["polls"])),
                in_seconds(each["finish"]),
                in_seconds(each["learnt"]),
                in_seconds(each["learnt"] - each["finish"]),
            ]
            for each in seen
        ]
    if not rows:
        return None
    layout = {
        "xaxis": {"title": {"text": "seconds since the job was accepted"}, "rangemode": "tozero"},
        "yaxis": by_setting("", names),
        "height": height_of(len(names)) + 40,
        "showlegend": True,
    }
    left_out = f" Of more than {_DRAWN} polls the first {_HEAD} and last {_END} are drawn."
    left_out = left_out if most > _DRAWN else ""
    return Picture(
        id="timelines",
        title="One job, poll by poll",
        note="The same job under every setting. The client cannot see the bar; it can only ask, at the "
        "marks. What is hatched is the detection lag: the job is done, and nobody knows yet." + left_out,
        alt="; ".join(
            f"{row[1]} under {row[0]}: {row[2]} polls, done after {row[3]}, known after {row[4]}"
            for row in rows
        ),
        figure={"data": list(next(iter(variants.values()))), "layout": layout},
        headings=("setting", "job", "polls", "done after", "known after", "lag"),
        rows=rows,
        variants=variants,
    )


def _seen(run: Run, name: str, key: int, place: int) -> dict[str, Any] | None:
    """Return what became of a job under a setting, in seconds since it was accepted."""
    assert run.sample is not None  # noqa: S101 - for mypy; the caller has looked
    job = run.jobs.filter((run.jobs["setting"] == name) & (run.jobs["key"] == key))
    polls = run.sample.filter((run.sample["setting"] == name) & (run.sample["key"] == key))
    if job.is_empty() or polls.is_empty():
        return None
    row = job.sort("repeat").row(0, named=True)
    polls = polls.filter(polls["repeat"] == row["repeat"]).sort("attempt")
    states = polls["state"] if "state" in polls.columns else [""] * len(polls)  # a twin's sample has none
    start = row["submitted_at_s"]
    if start is None or row["finished_at_s"] is None or row["detected_at_s"] is None:
        return None
    return {
        "name": name,
        "place": place,
        "finish": max(row["finished_at_s"] - start, 0.0),
        "learnt": row["detected_at_s"] - start,
        "polls": [
            (sent - start, _told(state, response))
            for sent, response, state in zip(polls["sent_at_s"], polls["response"], states, strict=True)
        ],
    }


def _traces(seen: Sequence[Mapping[str, Any]], styles: Mapping[str, Style]) -> list[Trace]:
    places = [each["place"] for each in seen]
    names = [escape(each["name"]) for each in seen]
    finish = [round(each["finish"], 4) for each in seen]
    lag = [round(each["learnt"] - each["finish"], 4) for each in seen]
    bar = {"type": "bar", "orientation": "h", "y": places, "width": 0.55, "customdata": names}
    work = bar | {
        "name": "the job runs",
        "x": finish,
        "meta": {"settings": places},
        "marker": {"color": "#b9c0c8"},
        "hovertemplate": "<b>%{customdata}</b><br>done after %{x:.3g} s<extra></extra>",
    }
    late = bar | {
        "name": "done, and not known",
        "base": finish,
        "x": lag,
        "meta": {"settings": places},
        "marker": {
            "color": [styles[each["name"]].colour for each in seen],
            "pattern": {"shape": "/", "solidity": 0.45},
        },
        "hovertemplate": "<b>%{customdata}</b><br>lag %{x:.3g} s<extra></extra>",
    }
    asked: dict[str, tuple[list[float], list[int], list[int]]] = {kind: ([], [], []) for kind in _ASKED}
    for each in seen:
        polls = list(enumerate(each["polls"], start=1))
        last = polls[-1][0]
        shown = polls if len(polls) <= _DRAWN else [*polls[:_HEAD], *polls[-_END:]]
        for number_, (at, told) in shown:
            kind = _DONE if number_ == last else told
            times, places_, numbers = asked[kind]
            times.append(round(at, 3))
            places_.append(each["place"])
            numbers.append(number_)
    return [work, late, *(_marks(kind, *asked[kind]) for kind in _ASKED if asked[kind][0])]


def _told(state: str, response: str) -> str:
    """Return what a poll was told: by its state, or where that was not recorded by the reply's code."""
    if state in DETECTED:
        return _DONE
    return _PENDING if (state == "pending" if state else response.startswith("2")) else _NO_NEWS


def _marks(kind: str, at: Sequence[float], places: Sequence[int], numbers: Sequence[int]) -> Trace:
    symbol, size = _ASKED[kind]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": kind,
        "x": at,
        "y": places,
        "customdata": numbers,
        "meta": {"settings": places},
        "marker": {"symbol": symbol, "size": size, "color": "ink", "line": {"width": 1.5, "color": NEUTRAL}},
        "hovertemplate": f"poll %{{customdata}} after %{{x:.3g}} s, {kind}<extra></extra>",
    }
