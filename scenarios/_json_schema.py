"""The JSON Schema of scenario files, for editors."""

from __future__ import annotations

from typing import Any

from scenarios._limits import USUAL_LIMIT
from scenarios._schema import ScenarioFile


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema that ``scenarios/scenario.schema.json`` holds.

    Editors complete and check keys by it. It cannot say what spans several keys (that the baseline is one of
    the settings, say); ``load_scenario`` checks everything.
    """
    schema = ScenarioFile.model_json_schema()
    for definition in (schema, *schema["$defs"].values()):
        definition.pop("title", None)
        for value in definition["properties"].values():
            value.pop("title", None)
            if isinstance(value.get("default"), dict):
                del value["default"]  # a whole section; the defaults of its keys stand in its own definition
        # In Python the discriminator has a default; in YAML it chooses the model, unless one is usual.
        if definition["properties"].get("type", {}).get("const", USUAL_LIMIT) != USUAL_LIMIT:
            definition["required"] = ["type", *definition.get("required", [])]
    schema["patternProperties"] = {"^x-": {}}
    schema["properties"]["settings"] |= {"additionalProperties": False, "minProperties": 1}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Scenario", **schema}
