"""Settings shared by all tests."""

from __future__ import annotations

from hypothesis import settings

# A slow machine is no counterexample; a printed blob makes every real one reproducible.
settings.register_profile("project", deadline=None, print_blob=True)
settings.load_profile("project")
