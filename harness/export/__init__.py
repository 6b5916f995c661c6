"""A setting in the form that other software takes: code of a language, parameters of a library, or data.

    text = export_setting(policy, "tenacity", Origin("exponential", "video-translation")).text

What a form cannot express is a ``Difference``, with the nearest that it can; nothing is dropped in silence.
"""

from __future__ import annotations

from harness.export._differences import Difference, adapt
from harness.export._forms import FORMS, Form
from harness.export._write import CannotExpress, Exported, Origin, export_setting

__all__ = [
    "CannotExpress",
    "Difference",
    "Exported",
    "FORMS",
    "Form",
    "Origin",
    "adapt",
    "export_setting",
]
