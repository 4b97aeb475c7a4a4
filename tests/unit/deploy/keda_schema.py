"""What KEDA 2.12 and later take, as far as the manifests use it: written after https://keda.sh/docs/latest/reference/."""

from typing import Any

Schema = dict[str, Any]


def closed(required: list[str], **properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


TEXT: Schema = {"type": "string", "minLength": 1}
COUNT: Schema = {"type": "integer", "minimum": 0}
METADATA: Schema = {"type": "object"}
POLICY = closed(
    ["type", "value", "periodSeconds"],
    type={"enum": ["Pods", "Percent"]},
    value={"type": "integer", "minimum": 1},
    periodSeconds={"type": "integer", "minimum": 1, "maximum": 1800},
)
RULES = closed(
    [],
    stabilizationWindowSeconds={"type": "integer", "minimum": 0, "maximum": 3600},
    selectPolicy={"enum": ["Max", "Min", "Disabled"]},
    policies={"type": "array", "items": POLICY, "minItems": 1},
)
TRIGGER_METADATA: dict[str, Schema] = {
    "prometheus": closed(["serverAddress", "query", "threshold"], serverAddress=TEXT, query=TEXT, threshold=TEXT),
    "postgresql": closed(["query", "targetQueryValue"], query=TEXT, targetQueryValue=TEXT),
}
TRIGGER = {
    **closed(
        ["type", "metadata"],
        type={"enum": sorted(TRIGGER_METADATA)},
        name={"type": "string", "pattern": "^[a-zA-Z_][a-zA-Z0-9_]*$"},
        metadata={"type": "object", "additionalProperties": {"type": "string"}},
        authenticationRef=closed(["name"], name=TEXT),
    ),
    "allOf": [
        {"if": {"properties": {"type": {"const": kind}}}, "then": {"properties": {"metadata": schema}}}
        for kind, schema in TRIGGER_METADATA.items()
    ],
}
SCALED_OBJECT = closed(
    ["apiVersion", "kind", "metadata", "spec"],
    apiVersion={"const": "keda.sh/v1alpha1"},
    kind={"const": "ScaledObject"},
    metadata=METADATA,
    spec=closed(
        ["scaleTargetRef", "triggers"],
        scaleTargetRef=closed(["name"], name=TEXT, kind=TEXT, apiVersion=TEXT, envSourceContainerName=TEXT),
        pollingInterval=COUNT,
        cooldownPeriod=COUNT,
        minReplicaCount=COUNT,
        maxReplicaCount={"type": "integer", "minimum": 1},
        fallback=closed(["failureThreshold", "replicas"], failureThreshold=COUNT, replicas=COUNT),
        advanced=closed(
            [],
            horizontalPodAutoscalerConfig=closed([], behavior=closed([], scaleUp=RULES, scaleDown=RULES)),
            scalingModifiers=closed(
                ["formula", "target"],
                formula=TEXT,
                target=TEXT,
                activationTarget=TEXT,
                metricType={"enum": ["AverageValue", "Value"]},
            ),
        ),
        triggers={"type": "array", "items": TRIGGER, "minItems": 1},
    ),
)
TRIGGER_AUTHENTICATION = closed(
    ["apiVersion", "kind", "metadata", "spec"],
    apiVersion={"const": "keda.sh/v1alpha1"},
    kind={"const": "TriggerAuthentication"},
    metadata=METADATA,
    spec=closed(
        ["secretTargetRef"],
        secretTargetRef={
            "type": "array",
            "items": closed(["parameter", "name", "key"], parameter=TEXT, name=TEXT, key=TEXT),
            "minItems": 1,
        },
    ),
)
SCHEMAS = {"ScaledObject": SCALED_OBJECT, "TriggerAuthentication": TRIGGER_AUTHENTICATION}
