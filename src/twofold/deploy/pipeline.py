"""A pipeline for GitHub Actions: test, build, scan, push, deploy, and roll back to any tag that was deployed before."""

from __future__ import annotations

from twofold.deploy.files import Files, mark
from twofold.deploy.kubernetes.objects import name_of
from twofold.deploy.kubernetes.pods import GATEWAY
from twofold.deploy.templates import filled
from twofold.deploy.topology import Topology

__all__ = ["pipeline_files"]

_PYTHON = "3.13"
_SCAN = """\
      - uses: aquasecurity/trivy-action@0.33.1
        with:
          image-ref: {image}:${{{{ steps.build.outputs.tag }}}}
          severity: CRITICAL,HIGH
          ignore-unfixed: true
          exit-code: "1\""""


def pipeline_files(topology: Topology, *, kubernetes: str) -> Files:
    """Files by path in the output folder. `kubernetes` is the folder of the manifests in the project."""
    images = [topology.image(role) for role in topology.roles]
    lock = topology.project.deploy.requirements
    deployments = [name_of(topology, each) for each in (*(service.name for service in topology.services), GATEWAY)]
    return {
        "deploy.yaml": filled(
            "github.yaml.tmpl",
            mark=mark("pipeline"),
            name=topology.name,
            app=topology.app,
            python=_PYTHON,
            requirements=f"--requirement {lock}" if lock else "--editable .",
            kubernetes=kubernetes,
            scans="\n".join(_SCAN.format(image=image) for image in images),
            registry=topology.project.deploy.registry.partition("/")[0],
            images=" ".join(images),
            deployments=" ".join(deployments),
        )
    }
