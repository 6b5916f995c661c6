"""The JSON Schema of scenario files, for editors."""

from __future__ import annotations

from typing import Any

from scenarios._schema import ScenarioFile


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema that ``scenarios/scenario.schema.json`` holds.

    Editors complete and check keys by it. It cannot say what spans several keys (that the baseline is one of
    the settings, say); `load_scenario` checks everything.
    """
    schema = ScenarioFile.model_json_schema()
    for definition in schema["$defs"].values():
        # In Python the discriminator has a default; in YAML it is what chooses the model.
        if "const" in definition.get("properties", {}).get("type", {}):
            definition["required"] = ["type", *definition.get("required", [])]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Scenario"}
