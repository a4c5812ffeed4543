"""Every metric of the daemon, in a registry of its own; every loop and adapter counts here, the ops listener reads.

It decides nothing and holds no state but the numbers. Label sets are closed and preset to zero, so that a rate exists
before the first event; a label is never made from what an event or a vendor wrote.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Collection, Iterator
from importlib.metadata import version
from itertools import product
from typing import Final, NamedTuple, TypeVar

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric

from imageferry.core.answers import ANSWER_CLASSES
from imageferry.core.facts import LANE_KINDS
from imageferry.core.job import ACTION_KINDS
from imageferry.core.machine import END_STATES, STATES

PREFIX: Final = "imageferry_"
CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4

EVENT_OUTCOMES: Final = ("accepted", "duplicate", "ignored", "dead")
PUBLISH_OUTCOMES: Final = ("ok", "error")
VERDICTS: Final = ("match", "no_match", "unknown")
WEBHOOK_STATUSES: Final = (202, 400, 401, 404, 405, 408, 413, 415, 503)
NO_CLASS: Final = "none"
"""The ``class`` of a job that ended before any vendor answered."""

_REQUEST_SECONDS: Final = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 60)
_WAIT_SECONDS: Final = (0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 1800, 7200)
_SUBMIT_SECONDS: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 1800, 7200, 21600, 86400)
_PROTECT_SECONDS: Final = (60, 300, 900, 1800, 3600, 7200, 14400, 28800, 43200, 86400, 172800)
_COMMIT_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)

_LANE: Final = ("cloud", "account", "region", "action")

_HELP: Final = {
    "events_total": "Deliveries from sources, by what became of them.",
    "decisions_total": "Verdicts of policies on images; unknown means that nothing was done for lack of facts.",
    "jobs": "Jobs in the ledger by state, ended ones too.",
    "jobs_ended_total": "Jobs that ended, by the class of the vendor's last answer (none: no vendor was asked).",
    "requests_total": "Requests to the clouds, by the class of the answer.",
    "request_duration_seconds": "How long the clouds took to answer, or how long it was waited for them.",
    "lane_rate_limit": "Requests a second that the lane allows itself now.",
    "lane_running": "Tasks of the lane that are or may be running in the cloud.",
    "lane_running_limit": "How many tasks the lane may have running; +Inf until a limit is configured or learned.",
    "lane_wait_seconds": "How long requests waited for the pace of their lane.",
    "event_to_submit_seconds": "From receiving an event to the first submit of a job; without back-fill.",
    "ready_to_protected_seconds": "From hearing of an image to the success of an action on it; without back-fill.",
    "unprotected_images": "Images that a policy wants and that are not protected yet.",
    "oldest_unprotected_seconds": "Age of the oldest job that a policy waits for: the recovery point at risk.",
    "outbox_pending": "Completions that are not yet published everywhere.",
    "published_total": "Completions handed to publishers, by outcome.",
    "source_lag": "Deliveries not read yet; for polling, seconds since the region was last listed to its end.",
    "webhook_answers_total": "Requests to the webhooks, by the HTTP status they were answered with.",
    "policies_loaded": "Policies in force.",
    "policies_reload_failed": "1 while the files on disk are not the set in force because they are wrong, else 0.",
    "ledger_commit_seconds": "How long a commit of the ledger took.",
    "build_info": "Always 1; the version of imageferry and of Python.",
}

_M = TypeVar("_M", bound=MetricWrapperBase)


class _Row(NamedTuple):
    name: str
    kind: str
    labels: tuple[str, ...]


class Metrics:
    """The metrics of one daemon; each attribute is named as its metric without ``imageferry_``.

    ``registry`` is for those who add collectors of their own; no two ``Metrics`` may share one.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = CollectorRegistry() if registry is None else registry
        self._rows: list[_Row] = []
        self.events_total = self._counter("events_total", "source", "outcome")
        self.decisions_total = self._counter("decisions_total", "policy", "verdict")
        self.jobs = self._gauge("jobs", *_LANE, "state")
        self.jobs_ended_total = self._counter("jobs_ended_total", "cloud", "account", "action", "state", "class")
        self.requests_total = self._counter("requests_total", "cloud", "account", "api", "class")
        self.request_duration_seconds = self._histogram("request_duration_seconds", _REQUEST_SECONDS, "cloud", "api")
        self.lane_rate_limit = self._gauge("lane_rate_limit", *_LANE)
        self.lane_running = self._gauge("lane_running", *_LANE)
        self.lane_running_limit = self._gauge("lane_running_limit", *_LANE)
        self.lane_wait_seconds = self._histogram("lane_wait_seconds", _WAIT_SECONDS, *_LANE)
        self.event_to_submit_seconds = self._histogram("event_to_submit_seconds", _SUBMIT_SECONDS)
        self.ready_to_protected_seconds = self._histogram(
            "ready_to_protected_seconds", _PROTECT_SECONDS, "policy", "action"
        )
        self.unprotected_images = self._gauge("unprotected_images", "policy")
        self.oldest_unprotected_seconds = self._gauge("oldest_unprotected_seconds", "policy")
        self.outbox_pending = self._gauge("outbox_pending")
        self.published_total = self._counter("published_total", "publisher", "outcome")
        self.source_lag = self._gauge("source_lag", "source", "partition")
        self.webhook_answers_total = self._counter("webhook_answers_total", "status")
        self.policies_loaded = self._gauge("policies_loaded")
        self.policies_reload_failed = self._gauge("policies_reload_failed")
        self.ledger_commit_seconds = self._histogram("ledger_commit_seconds", _COMMIT_SECONDS)
        self.build_info = self._gauge("build_info", "version", "python")
        self.build_info.labels(version("imageferry"), platform.python_version()).set(1)
        ProcessCollector(registry=self.registry)

    def preset_sources(self, types: Collection[str]) -> None:
        """Set the counters of these source types to zero."""
        for source, outcome in product(types, EVENT_OUTCOMES):
            self.events_total.labels(source, outcome)
        for status in WEBHOOK_STATUSES if "webhook" in types else ():
            self.webhook_answers_total.labels(str(status))

    def preset_publishers(self, types: Collection[str]) -> None:
        """Set the counters of these publisher types to zero."""
        for publisher, outcome in product(types, PUBLISH_OUTCOMES):
            self.published_total.labels(publisher, outcome)

    def preset_policies(self, names: Collection[str]) -> None:
        """Set what is told by policy to zero, and forget the gauges of policies that are no longer in force."""
        for policy in names:
            self.unprotected_images.labels(policy)
            self.oldest_unprotected_seconds.labels(policy)
        for policy, verdict in product(names, VERDICTS):
            self.decisions_total.labels(policy, verdict)
        for policy, action in product(names, ACTION_KINDS):
            self.ready_to_protected_seconds.labels(policy, action)
        for gauge in (self.unprotected_images, self.oldest_unprotected_seconds):
            _keep_only(gauge, names)

    def preset_account(
        self,
        cloud: str,
        account: str,
        regions: Collection[str],
        *,
        apis: Collection[str] = (),
        scopes: Collection[str] | None = None,
    ) -> None:
        """Set everything told by account to zero.

        :param apis: the API names that the adapter of this cloud uses.
        :param scopes: the regions of its lanes where they are not its regions (``*``: one lane for all of them).
        """
        for region, action, state in product(regions, ACTION_KINDS, STATES):
            self.jobs.labels(cloud, account, region, action, state)
        for action, state, klass in product(ACTION_KINDS, sorted(END_STATES), (*ANSWER_CLASSES, NO_CLASS)):
            self.jobs_ended_total.labels(cloud, account, action, state, klass)
        for api, klass in product(apis, ANSWER_CLASSES):
            self.requests_total.labels(cloud, account, api, klass)
        for api in apis:
            self.request_duration_seconds.labels(cloud, api)
        for region in regions if scopes is None else scopes:
            self._preset_lanes(cloud, account, region)

    def job_ended(self, cloud: str, account: str, action: str, state: str, klass: str) -> None:
        """Count the end of a job; ``klass`` is the job's own, empty where no vendor answered."""
        self.jobs_ended_total.labels(cloud, account, action, state, klass or NO_CLASS).inc()

    def exposition(self) -> bytes:
        """Every metric in Prometheus' text format; its media type is :data:`CONTENT_TYPE`."""
        return generate_latest(_WithoutCreated(self.registry))

    def table(self) -> str:
        """The metrics as a Markdown table, in the order of their definition."""
        head = ["| metric | type | labels | tells |", "|---|---|---|---|"]
        rows = [
            f"| `{PREFIX}{row.name}` | {row.kind} | {', '.join(f'`{label}`' for label in row.labels)} "
            f"| {_HELP[row.name]} |"
            for row in self._rows
        ]
        return "\n".join([*head, *rows]) + "\n"

    def _preset_lanes(self, cloud: str, account: str, region: str) -> None:
        for kind in LANE_KINDS:
            self.lane_rate_limit.labels(cloud, account, region, kind)
            self.lane_wait_seconds.labels(cloud, account, region, kind)
        for action in ACTION_KINDS:
            self.lane_running.labels(cloud, account, region, action)
            self.lane_running_limit.labels(cloud, account, region, action).set(math.inf)

    def _counter(self, name: str, *labels: str) -> Counter:
        return self._noted(name, labels, Counter(PREFIX + name, _HELP[name], labels, registry=self.registry))

    def _gauge(self, name: str, *labels: str) -> Gauge:
        return self._noted(name, labels, Gauge(PREFIX + name, _HELP[name], labels, registry=self.registry))

    def _histogram(self, name: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        metric = Histogram(PREFIX + name, _HELP[name], labels, buckets=buckets, registry=self.registry)
        return self._noted(name, labels, metric)

    def _noted(self, name: str, labels: tuple[str, ...], metric: _M) -> _M:
        self._rows.append(_Row(name, type(metric).__name__.lower(), labels))
        return metric


def _keep_only(gauge: Gauge, policies: Collection[str]) -> None:
    known = {sample.labels["policy"] for family in gauge.collect() for sample in family.samples}
    for policy in known.difference(policies):
        gauge.remove(policy)


class _WithoutCreated:
    """A registry less its ``_created`` samples.

    They double the series, and the client's own switch for them is global to the process.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family
