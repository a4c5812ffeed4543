"""Renders the helm chart for tests: values in, manifests out, exactly as `helm template` has them."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from support.programs import ROOT, need

CHART: Final = ROOT / "helm" / "imageferry"
FULL: Final = ROOT / "tests" / "deploy" / "full.yaml"
"""Values that turn on everything the chart can do."""

Manifest = dict[str, Any]


class ChartRefused(Exception):
    """helm said no; the text is its message."""


def helm(command: str, *arguments: str) -> str:
    done = subprocess.run([need("helm"), command, *arguments], check=False, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise ChartRefused(done.stdout + done.stderr)
    return done.stdout


def render(*files: Path, values: Mapping[str, Any] | None = None, folder: Path | None = None) -> list[Manifest]:
    """The manifests of a release named ``ferry``; ``values`` need a ``folder`` to be written to, and win."""
    layers = [*files]
    if values is not None:
        assert folder is not None
        layers.append(folder / "values.yaml")
        layers[-1].write_text(yaml.safe_dump(dict(values)))
    text = helm("template", "ferry", str(CHART), *(f"--values={file}" for file in layers))
    return [manifest for manifest in yaml.safe_load_all(text) if manifest is not None]


def one(manifests: list[Manifest], kind: str, suffix: str = "") -> Manifest:
    """The only manifest of a kind whose name ends so."""
    (found,) = (m for m in manifests if m["kind"] == kind and m["metadata"]["name"].endswith(suffix))
    return found
