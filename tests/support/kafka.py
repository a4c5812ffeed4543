"""A real Kafka broker for tests: Apache Kafka from the jars in ``build/kafka-jars``, one node, on loopback.

``make test`` puts the jars there (``tests/kafka/pom.xml``). A test that needs only topics of its own shares the one
broker of the run (:func:`shared_broker`); a test that kills, pauses or restarts a broker starts its own.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

ROOT = Path(__file__).resolve().parents[2]
JARS = ROOT / "build" / "kafka-jars"
USER, PASSWORD = "alice", "s3cret-of-alice"

Listener = Literal["PLAIN", "SASL", "TLS", "SASLTLS", "MTLS"]
_PROTOCOLS: Mapping[str, str] = {
    "PLAIN": "PLAINTEXT",
    "SASL": "SASL_PLAINTEXT",
    "TLS": "SSL",
    "SASLTLS": "SASL_SSL",
    "MTLS": "SSL",
    "CONTROL": "PLAINTEXT",
}
_READY_WITHIN = 60.0


def need_kafka() -> str:
    """The path of java; skips the test, or fails it under CI, when java or the jars are missing."""
    java = shutil.which("java")
    missing = None
    if java is None:
        missing = "java is not installed (apt-get install default-jre-headless)"
    elif not list(JARS.glob("kafka_2.13-*.jar")):
        missing = (
            f"no Kafka jars in {JARS} (mvn -q -B -C -f tests/kafka/pom.xml dependency:copy-dependencies"
            " -DoutputDirectory=$PWD/build/kafka-jars)"
        )
    if missing is not None and os.environ.get("CI") == "true":
        pytest.fail(f"a real Kafka broker is needed: {missing}")
    if missing is not None:
        pytest.skip(f"NOT TESTED without a real Kafka broker: {missing}")
    assert java is not None
    return java


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Broker:
    """One broker process. ``start`` returns when it answers; ports and data stay the same over restarts."""

    folder: Path
    listeners: Sequence[Listener] = ("PLAIN",)
    settings: Mapping[str, str] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def servers(self) -> str:
        return self.at("PLAIN")

    @property
    def ca_file(self) -> Path:
        return self.folder / "ca.pem"

    def at(self, listener: Listener) -> str:
        return f"127.0.0.1:{self.ports[listener]}"

    def create(self) -> None:
        """Format the storage and start; ports that were taken in between are chosen again."""
        if {"TLS", "SASLTLS", "MTLS"} & set(self.listeners):
            make_certificates(self.folder)
        for _ in range(5):
            shutil.rmtree(self.folder / "data", ignore_errors=True)
            self.ports = {name: free_port() for name in (*self.listeners, "CONTROL")}
            (self.folder / "server.properties").write_text(self._properties())
            self._format()
            try:
                self.start()
            except AddressInUse:
                continue
            return
        pytest.fail("no free ports for a Kafka broker in five tries")

    def start(self) -> None:
        assert self.process is None
        log = (self.folder / "broker.log").open("ab")
        with log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *_java(256), "kafka.Kafka", "server.properties"],
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )
        self._wait_until_ready()

    def kill(self) -> None:
        """``kill -9``."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> None:
        """SIGTERM, and wait for the end."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=30)
            self.process = None

    def pause(self) -> None:
        """Hang: connections are taken, nothing is answered."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    async def restart(self) -> None:
        """Start again after ``kill`` or ``stop``, without blocking the event loop."""
        await asyncio.to_thread(self.start)

    def _format(self) -> None:
        cluster = "k" + urlsafe_b64encode(os.urandom(16)).decode().rstrip("=")[1:]  # a leading - would be an option
        scram = [f"{name}=[name={USER},password={PASSWORD}]" for name in ("SCRAM-SHA-256", "SCRAM-SHA-512")]
        add_scram = [word for entry in scram for word in ("--add-scram", entry)]
        done = subprocess.run(
            [*_java(128), "kafka.tools.StorageTool", "format", "--standalone", "-t", cluster, "-c", "server.properties"]
            + (add_scram if {"SASL", "SASLTLS"} & set(self.listeners) else []),
            cwd=self.folder,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + _READY_WITHIN
        while not _answers_metadata(self.ports["PLAIN"]):
            assert self.process is not None
            if self.process.poll() is not None or time.monotonic() > until:
                said = (self.folder / "broker.log").read_text(errors="replace")
                self.kill()
                if "Address already in use" in said:
                    raise AddressInUse
                pytest.fail(f"the Kafka broker did not come up; the end of its log:\n{said[-3000:]}")
            time.sleep(0.03)  # between two looks at a process that is starting

    def _properties(self) -> str:
        listeners = ",".join(f"{name}://127.0.0.1:{self.ports[name]}" for name in (*self.listeners, "CONTROL"))
        advertised = ",".join(f"{name}://127.0.0.1:{self.ports[name]}" for name in self.listeners)
        lines = {
            **_SETTINGS,
            "log.dirs": str(self.folder / "data"),
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{self.ports['CONTROL']}",
            "listeners": listeners,
            "advertised.listeners": advertised,
            "listener.security.protocol.map": ",".join(f"{k}:{v}" for k, v in _PROTOCOLS.items()),
            **self._secured(),
            **self.settings,
        }
        return "".join(f"{key}={value}\n" for key, value in lines.items())

    def _secured(self) -> dict[str, str]:
        lines: dict[str, str] = {}
        for name in {"SASL", "SASLTLS"} & set(self.listeners):
            prefix = f"listener.name.{name.lower()}"
            lines[f"{prefix}.sasl.enabled.mechanisms"] = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"
            module = "org.apache.kafka.common.security"
            lines[f"{prefix}.plain.sasl.jaas.config"] = (
                f'{module}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
            )
            for sha in ("256", "512"):
                lines[f"{prefix}.scram-sha-{sha}.sasl.jaas.config"] = f"{module}.scram.ScramLoginModule required;"
        for name in {"TLS", "SASLTLS", "MTLS"} & set(self.listeners):
            prefix = f"listener.name.{name.lower()}.ssl"
            lines[f"{prefix}.keystore.type"] = lines[f"{prefix}.truststore.type"] = "PEM"
            lines[f"{prefix}.keystore.location"] = str(self.folder / "server.pem")
            lines[f"{prefix}.truststore.location"] = str(self.ca_file)
            lines[f"{prefix}.client.auth"] = "required" if name == "MTLS" else "none"
        return lines


class AddressInUse(Exception):
    """Someone took the port between the choice and the start."""


_SETTINGS: Mapping[str, str] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROL",
    "inter.broker.listener.name": "PLAIN",
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "500",
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "400",
    "log.cleaner.dedupe.buffer.size": "4194304",
    "num.network.threads": "2",
    "num.io.threads": "2",
} | {
    f"{internal}.{setting}": "1"
    for internal, settings in {
        "offsets.topic": ("replication.factor", "num.partitions"),
        "transaction.state.log": ("replication.factor", "min.isr", "num.partitions"),
        "share.coordinator.state.topic": ("replication.factor", "min.isr", "num.partitions"),
    }.items()
    for setting in settings
}


def _java(heap_mib: int) -> list[str]:
    small = ["-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"]
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
    return [need_kafka(), f"-Xmx{heap_mib}m", *small, quiet, "-cp", f"{JARS}/*"]


def _answers_metadata(port: int) -> bool:
    """Ask for Metadata version 5 about no topic; ready means that at least one broker is named."""
    request = struct.pack(">hhih", 3, 5, 1, -1) + struct.pack(">ib", 0, 0)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as link:
            link.sendall(struct.pack(">i", len(request)) + request)
            answer = link.recv(16)
    except OSError:
        return False
    return len(answer) >= 16 and struct.unpack(">i", answer[12:16])[0] >= 1


def make_certificates(folder: Path) -> None:
    """``ca.pem``, ``server.pem`` and ``client.pem`` (key and certificate in one), and a ``foreign-ca.pem``."""
    for ca in ("ca", "foreign-ca"):
        _openssl(folder, f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={ca} -keyout {ca}.key -out {ca}.pem")
    (folder / "san.cnf").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    for name in ("server", "client"):
        _openssl(folder, f"req -newkey rsa:2048 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr")
        _openssl(
            folder,
            f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san.cnf"
            f" -out {name}.crt",
        )
        (folder / f"{name}.pem").write_text((folder / f"{name}.key").read_text() + (folder / f"{name}.crt").read_text())


def _openssl(folder: Path, arguments: str) -> None:
    subprocess.run(["openssl", *arguments.split()], cwd=folder, check=True, capture_output=True)


@contextmanager
def running_broker(*listeners: Listener, settings: Mapping[str, str] | None = None) -> Iterator[Broker]:
    """A broker of one's own, for tests that kill, pause or secure it."""
    need_kafka()
    with tempfile.TemporaryDirectory(prefix="kafka-") as folder:
        broker = Broker(Path(folder), ("PLAIN", *listeners), settings or {})
        try:
            broker.create()
            yield broker
        finally:
            broker.kill()


@functools.cache
def shared_broker() -> Broker:
    """The one broker of this test run, with every listener; nobody may stop it."""
    running = running_broker("SASL", "TLS", "SASLTLS", "MTLS")
    broker = running.__enter__()
    atexit.register(running.__exit__, None, None, None)
    return broker


async def create_topic(broker: Broker, name: str, partitions: int = 1) -> str:
    """Make a topic and check the answer's error code, which the admin client does not raise."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.servers)
    await admin.start()
    try:
        answer = await admin.create_topics([NewTopic(name, partitions, 1)])
        assert [error[1] for error in answer.topic_errors] == [0], answer
    finally:
        await admin.close()
    return name


@asynccontextmanager
async def producing(broker: Broker) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=broker.servers)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def send(broker: Broker, topic: str, values: Sequence[bytes], **options: Any) -> None:
    """Put messages on a topic and wait until the broker has them."""
    async with producing(broker) as producer:
        for sent in [await producer.send(topic, value, **options) for value in values]:
            await sent


async def committed(broker: Broker, group: str, topic: str, partition: int = 0) -> int | None:
    """The group's committed offset of one partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.servers, group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        tp = TopicPartition(topic, partition)
        consumer.assign([tp])
        offset: int | None = await consumer.committed(tp)
        return offset
    finally:
        await consumer.stop()


async def read_all(broker: Broker, topic: str, count: int) -> list[Any]:
    """The first ``count`` records of a topic, in the order they came."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=broker.servers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        async with asyncio.timeout(30):
            return [await consumer.getone() for _ in range(count)]
    finally:
        await consumer.stop()
