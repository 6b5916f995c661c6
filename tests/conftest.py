"""Settings shared by all tests."""

from __future__ import annotations

import os

from hypothesis import settings

# A slow machine is no counterexample; a printed blob makes every real one reproducible. `make test` tries
# the same examples every time, so that it judges the change at hand; `make test-all` looks for new ones.
settings.register_profile("project", deadline=None, print_blob=True, derandomize=True)
settings.register_profile("search", settings.get_profile("project"), derandomize=False, max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "project"))

pytest_plugins = ["browser_parts"]
