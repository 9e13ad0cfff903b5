"""The manifests for KubeRay: fields and types as its definitions (`ray.io/v1`) have them."""

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "sdk_docs" / "howto" / "run_on_a_cluster.md"
TEXT = {"type": "string"}
COUNT = {"type": "integer", "minimum": 0}


def fields(required=(), **properties):
    """An object with these fields only."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def many(item):
    return {"type": "array", "items": item, "minItems": 1}


TEXTS = {"type": "object", "additionalProperties": TEXT}
RESOURCES = fields(requests=TEXTS, limits=TEXTS)
CONTAINER = fields(
    ["name", "image"],
    name=TEXT,
    image=TEXT,
    resources=RESOURCES,
    env=many(fields(["name", "value"], name=TEXT, value=TEXT)),
    volumeMounts=many(fields(["name", "mountPath"], name=TEXT, mountPath=TEXT)),
)
POD = fields(
    ["spec"],
    spec=fields(
        ["containers"],
        containers=many(CONTAINER),
        volumes=many(fields(["name"], name=TEXT, emptyDir={"type": "object"})),
    ),
)
HEAD = fields(["template"], rayStartParams=TEXTS, template=POD)
WORKERS = fields(
    ["groupName", "minReplicas", "maxReplicas", "template"],
    groupName=TEXT,
    replicas=COUNT,
    minReplicas=COUNT,
    maxReplicas=COUNT,
    rayStartParams=TEXTS,
    template=POD,
)
SPECS = {
    "RayCluster": fields(
        ["headGroupSpec"], rayVersion=TEXT, headGroupSpec=HEAD, workerGroupSpecs=many(WORKERS)
    ),
    "RayJob": fields(["entrypoint"], entrypoint=TEXT, clusterSelector=TEXTS),
}


def schema(kind):
    return fields(
        ["apiVersion", "kind", "metadata", "spec"],
        apiVersion={"const": "ray.io/v1"},
        kind={"const": kind},
        metadata=fields(["name"], name=TEXT),
        spec=SPECS[kind],
    )


@pytest.fixture(scope="module")
def manifests():
    """Kind -> manifest of the page."""
    found = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    return {made["kind"]: made for made in map(yaml.safe_load, found)}


@pytest.mark.parametrize("kind", SPECS)
def test_a_manifest_has_the_fields_of_its_kind(manifests, kind):
    jsonschema.validate(manifests[kind], schema(kind))


def test_a_field_that_is_misspelt_is_found_out(manifests):
    manifests = json.loads(json.dumps(manifests))
    (group,) = manifests["RayCluster"]["spec"]["workerGroupSpecs"]
    group["minReplica"] = group.pop("minReplicas")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(manifests["RayCluster"], schema("RayCluster"))


def test_the_versions_of_the_page_are_those_of_the_tests(manifests):
    pins = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    )
    assert manifests["RayCluster"]["spec"]["rayVersion"] == pins["ray"]
    assert f"rayproject/ray:{pins['ray']}-py311" in PAGE.read_text()


def test_the_resources_of_a_worker_are_what_the_plugin_counts(manifests):
    (group,) = manifests["RayCluster"]["spec"]["workerGroupSpecs"]
    # KubeRay writes the value into a shell command: quoted once more.
    told = json.loads(json.loads(group["rayStartParams"]["resources"]))
    assert all(name.startswith("ds:") for name in told)
