"""Settings shared by all tests."""

from __future__ import annotations

import os
import sys

from hypothesis import settings

# A slow machine is no counterexample; a printed blob makes every real one reproducible. `make test` tries
# the same examples every time, so that it judges the change at hand; `make test-all` looks for new ones.
settings.register_profile("project", deadline=None, print_blob=True, derandomize=True)
settings.register_profile("search", settings.get_profile("project"), derandomize=False, max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "project"))

# Containers often forbid bytecode. The tests start hundreds of interpreters, each of which would compile our
# sources again: a tenth of the whole suite's time.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

pytest_plugins = ["browser_parts"]
