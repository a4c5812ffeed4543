from __future__ import annotations

import math
import os
import shutil
import subprocess

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families

from imageferry.core.answers import ANSWER_CLASSES
from imageferry.telemetry.metrics import Metrics

PROMISED = {
    "events_total": ("source", "outcome"),
    "decisions_total": ("policy", "verdict"),
    "jobs": ("cloud", "account", "region", "action", "state"),
    "jobs_ended_total": ("cloud", "account", "action", "state", "class"),
    "requests_total": ("cloud", "account", "api", "class"),
    "request_duration_seconds": ("cloud", "api"),
    "lane_rate_limit": ("cloud", "account", "region", "action"),
    "lane_running": ("cloud", "account", "region", "action"),
    "lane_running_limit": ("cloud", "account", "region", "action"),
    "lane_wait_seconds": ("cloud", "account", "region", "action"),
    "event_to_submit_seconds": (),
    "ready_to_protected_seconds": ("policy", "action"),
    "unprotected_images": ("policy",),
    "oldest_unprotected_seconds": ("policy",),
    "outbox_pending": (),
    "published_total": ("publisher", "outcome"),
    "source_lag": ("source", "partition"),
    "webhook_answers_total": ("status",),
    "policies_loaded": (),
    "policies_reload_failed": (),
    "ledger_commit_seconds": (),
    "build_info": ("version", "python"),
}
"""The names and labels that dashboards and rules are built on."""


@pytest.fixture
def metrics() -> Metrics:
    metrics = Metrics()
    metrics.preset_sources(["kafka", "file", "webhook"])
    metrics.preset_publishers(["log"])
    metrics.preset_policies(["archive", "dr"])
    metrics.preset_account("tencent", "prod", ["ap-a", "ap-b"], apis=["ExportImages"])
    return metrics


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return samples(metrics).get((name, frozenset(labels.items())))


@pytest.mark.parametrize("name", PROMISED)
def test_every_promised_metric_is_an_attribute_with_its_labels(metrics: Metrics, name: str) -> None:
    metric = getattr(metrics, name)
    assert tuple(metric._labelnames) == PROMISED[name]


def test_every_promised_metric_is_exposed(metrics: Metrics) -> None:
    metrics.source_lag.labels("kafka", "0").set(3)
    exposed = {name.split("{")[0].split(" ")[0] for name in metrics.exposition().decode().splitlines()}
    histograms = {name for name in PROMISED if name.endswith("_seconds") and not name.startswith("oldest")}
    wanted = {f"imageferry_{name}{'_count' if name in histograms else ''}" for name in PROMISED}
    assert wanted - exposed == set()


def test_promtool_finds_nothing_to_complain_about(metrics: Metrics) -> None:
    promtool = shutil.which("promtool")
    if promtool is None and os.environ.get("CI") == "true":
        pytest.fail("promtool is missing: install Debian's package prometheus")
    if promtool is None:
        pytest.skip("NOT CHECKED: promtool is missing; install Debian's package prometheus")
    metrics.source_lag.labels("kafka", "0").set(3)
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=metrics.exposition(), capture_output=True, check=False, timeout=60
    )
    assert (checked.stdout, checked.stderr, checked.returncode) == (b"", b"", 0)


@pytest.mark.parametrize("outcome", ["accepted", "duplicate", "ignored", "dead"])
@pytest.mark.parametrize("source", ["kafka", "file"])
def test_events_start_at_zero(metrics: Metrics, source: str, outcome: str) -> None:
    assert value(metrics, "imageferry_events_total", source=source, outcome=outcome) == 0


@pytest.mark.parametrize("verdict", ["match", "no_match", "unknown"])
def test_decisions_start_at_zero(metrics: Metrics, verdict: str) -> None:
    assert value(metrics, "imageferry_decisions_total", policy="dr", verdict=verdict) == 0


@pytest.mark.parametrize("outcome", ["ok", "error"])
def test_publishing_starts_at_zero(metrics: Metrics, outcome: str) -> None:
    assert value(metrics, "imageferry_published_total", publisher="log", outcome=outcome) == 0


@pytest.mark.parametrize("klass", ANSWER_CLASSES)
def test_requests_start_at_zero_in_every_class(metrics: Metrics, klass: str) -> None:
    labels = {"cloud": "tencent", "account": "prod", "api": "ExportImages", "class": klass}
    assert value(metrics, "imageferry_requests_total", **labels) == 0


@pytest.mark.parametrize("state", ["planned", "in_doubt", "running", "succeeded", "cancelled"])
def test_jobs_start_at_zero_in_every_state(metrics: Metrics, state: str) -> None:
    place = {"cloud": "tencent", "account": "prod", "region": "ap-b"}
    assert value(metrics, "imageferry_jobs", **place, action="copy", state=state) == 0


@pytest.mark.parametrize("action", ["export", "copy", "read"])
def test_every_lane_is_there_from_the_start(metrics: Metrics, action: str) -> None:
    lane = {"cloud": "tencent", "account": "prod", "region": "ap-a", "action": action}
    found = samples(metrics)
    assert found["imageferry_lane_rate_limit", frozenset(lane.items())] == 0
    assert found["imageferry_lane_wait_seconds_count", frozenset(lane.items())] == 0


def test_a_lane_over_all_regions_is_preset_by_its_scope() -> None:
    metrics = Metrics()
    metrics.preset_account("huawei", "prod", ["cn-a"], scopes=["*"])
    lane = {"cloud": "huawei", "account": "prod", "action": "copy"}
    assert value(metrics, "imageferry_lane_running", **lane, region="*") == 0
    assert value(metrics, "imageferry_lane_running", **lane, region="cn-a") is None


def test_a_running_limit_that_nobody_knows_is_infinite(metrics: Metrics) -> None:
    lane = {"cloud": "tencent", "account": "prod", "region": "ap-a", "action": "export"}
    assert value(metrics, "imageferry_lane_running_limit", **lane) == math.inf


def test_presetting_again_keeps_what_was_counted(metrics: Metrics) -> None:
    metrics.decisions_total.labels("dr", "match").inc()
    metrics.preset_policies(["archive", "dr"])
    assert value(metrics, "imageferry_decisions_total", policy="dr", verdict="match") == 1


def test_gauges_of_policies_that_left_are_forgotten(metrics: Metrics) -> None:
    metrics.unprotected_images.labels("dr").set(4)
    metrics.preset_policies(["archive"])
    assert value(metrics, "imageferry_unprotected_images", policy="dr") is None
    assert value(metrics, "imageferry_unprotected_images", policy="archive") == 0


def test_a_job_that_ended_without_an_answer_has_the_class_none(metrics: Metrics) -> None:
    metrics.job_ended("tencent", "prod", "export", "cancelled", "")
    labels = {"cloud": "tencent", "account": "prod", "action": "export", "state": "cancelled", "class": "none"}
    assert value(metrics, "imageferry_jobs_ended_total", **labels) == 1


def test_counting_within_the_closed_sets_adds_no_series(metrics: Metrics) -> None:
    before = set(samples(metrics))
    metrics.job_ended("tencent", "prod", "copy", "failed", "permanent_image")
    metrics.requests_total.labels("tencent", "prod", "ExportImages", "throttled").inc()
    metrics.events_total.labels("kafka", "dead").inc()
    assert set(samples(metrics)) == before


def test_no_series_tells_when_it_was_created(metrics: Metrics) -> None:
    assert [name for name, _ in samples(metrics) if name.endswith("_created")] == []


def test_two_daemons_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.outbox_pending.set(5)
    assert value(other, "imageferry_outbox_pending") == 0


def test_a_given_registry_is_used() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    Counter("imageferry_extra_total", "More.", registry=registry).inc()
    assert value(metrics, "imageferry_extra_total") == 1


def test_the_table_has_a_row_for_every_metric_with_its_labels() -> None:
    rows = [line.split(" | ") for line in Metrics().table().splitlines()[2:]]
    told = {row[0].strip("| `").removeprefix("imageferry_"): row[2].replace("`", "").strip() for row in rows}
    assert told == {name: ", ".join(labels) for name, labels in PROMISED.items()}


def test_the_table_tells_kind_and_meaning() -> None:
    assert "| `imageferry_outbox_pending` | gauge |  | Completions that are not yet published everywhere. |" in (
        Metrics().table().splitlines()
    )
