from __future__ import annotations

import asyncio
import contextvars
import logging
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from imageferry.kafkaconn import Ear, KafkaConnection, UnusableTls, attached, client_options, speaking
from support.clocks import FakeClock

PASSWORD = "s3cret-of-alice"
LOGIN = {"sasl_mechanism": "PLAIN", "sasl_username": "alice", "sasl_password": PASSWORD}
SERVERS = {"bootstrap_servers": "localhost:9092"}


def complaints(**fields: Any) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        KafkaConnection.model_validate(SERVERS | fields)
    return [error["msg"] for error in caught.value.errors()]


def test_servers_are_taken_as_text_with_commas() -> None:
    assert KafkaConnection.model_validate({"bootstrap_servers": "a:1, b:2"}).bootstrap_servers == ("a:1", "b:2")


def test_servers_are_taken_as_a_list() -> None:
    assert KafkaConnection.model_validate({"bootstrap_servers": ["a:1", "[::1]:2"]}).servers == "a:1,[::1]:2"


@pytest.mark.parametrize(
    "server", ["localhost", "localhost:", ":9092", "localhost:0", "localhost:65536", "h:p", "a:1,"]
)
def test_a_server_without_host_and_port_is_refused_with_an_example(server: str) -> None:
    assert "write host:port" in complaints(bootstrap_servers=server)[0]


@pytest.mark.parametrize("server", ["kafka://localhost:9092", "alice@localhost:9092"])
def test_a_server_with_a_scheme_or_a_user_is_refused(server: str) -> None:
    assert "host:port alone" in complaints(bootstrap_servers=server)[0]


def test_an_empty_list_of_servers_is_refused() -> None:
    assert complaints(bootstrap_servers=[]) != []


def test_sasl_needs_its_three_fields_and_names_the_missing_ones() -> None:
    assert complaints(security_protocol="SASL_SSL", sasl_mechanism="PLAIN") == [
        "security_protocol SASL_SSL needs sasl_username, sasl_password too"
    ]


def test_a_login_without_sasl_is_refused_instead_of_ignored() -> None:
    given = "sasl_mechanism, sasl_username, sasl_password given"
    assert complaints(**LOGIN) == [f"{given}, but security_protocol is PLAINTEXT; use SASL_SSL or SASL_PLAINTEXT"]


def test_tls_files_without_tls_are_refused_instead_of_ignored() -> None:
    assert complaints(tls={"ca_file": "ca.pem"}) == [
        "tls is given, but security_protocol is PLAINTEXT; use SSL or SASL_SSL"
    ]


def test_a_key_without_certificate_is_refused() -> None:
    assert complaints(security_protocol="SSL", tls={"key_file": "k.pem"}) == [
        "key_file is given without cert_file; give both or neither"
    ]


def test_no_repr_shows_the_password() -> None:
    spec = KafkaConnection.model_validate(SERVERS | LOGIN | {"security_protocol": "SASL_PLAINTEXT"})
    assert PASSWORD not in repr(spec)


def test_a_complaint_does_not_show_the_password() -> None:
    assert PASSWORD not in str(complaints(**LOGIN))


def test_the_client_gets_the_login() -> None:
    spec = KafkaConnection.model_validate(SERVERS | LOGIN | {"security_protocol": "SASL_PLAINTEXT"})
    assert client_options(spec) == {
        "bootstrap_servers": "localhost:9092",
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": "alice",
        "sasl_plain_password": PASSWORD,
    }


def test_a_ca_file_that_is_not_there_is_named() -> None:
    spec = KafkaConnection.model_validate(SERVERS | {"security_protocol": "SSL", "tls": {"ca_file": "/no/ca.pem"}})
    with pytest.raises(UnusableTls, match=r"tls.ca_file: /no/ca.pem is not there"):
        client_options(spec)


@pytest.mark.parametrize("name", ["ca_file", "cert_file"])
def test_a_file_that_is_not_pem_is_named(tmp_path: Path, name: str) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("not a certificate")
    spec = KafkaConnection.model_validate(SERVERS | {"security_protocol": "SSL", "tls": {name: str(wrong)}})
    with pytest.raises(UnusableTls, match=rf"tls.{name}: {wrong}"):
        client_options(spec)


def ear() -> Ear:
    return Ear("kafka", "b:9092", FakeClock().monotonic)


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        ('Unable connect to "b:1": [Error 58] SaslAuthenticationFailed: Invalid username or password', "password"),
        ('Unable connect to "b:1": [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: x', "tls.ca_file"),
        ("Unable connect to \"b:1\": [Errno 111] Connect call failed ('b', 1)", "down or unreachable"),
        ('Unable connect to "b:1": [Errno -2] Name or service not known', "cannot be resolved"),
        ('Unable connect to "b:1": [Error 33] UnsupportedSaslMechanismError: x', "sasl_mechanism"),
        ('Unable connect to "b:1": [Error 34] IllegalSaslStateError: x', "does not ask for a login"),
        ('Unable connect to "b:1": KafkaConnectionError: Connection at b:1 closed', "wrong security_protocol"),
        ('Unable connect to "b:1": ', "does not answer"),
    ],
)
def test_each_kind_of_refusal_is_told_apart(line: str, meaning: str) -> None:
    heard = ear()
    with attached(heard), speaking(heard), capture_logs():
        logging.getLogger("aiokafka").error(line)
    assert meaning in str(heard.reason)


def test_the_most_telling_line_wins_whatever_came_after_it() -> None:
    heard = ear()
    with attached(heard), speaking(heard), capture_logs():
        logging.getLogger("aiokafka").error('Unable connect to "a:1": SaslAuthenticationFailed: no')
        logging.getLogger("aiokafka").error('Unable connect to "b:1": Connect call failed')
    assert "password is wrong" in str(heard.reason)


def test_what_was_heard_is_forgotten_when_the_connection_works() -> None:
    heard = ear()
    with attached(heard), speaking(heard), capture_logs():
        logging.getLogger("aiokafka").error("Connect call failed")
    heard.forget()
    assert heard.reason is None


def test_a_harmless_warning_is_no_reason() -> None:
    heard = ear()
    with attached(heard), speaking(heard), capture_logs():
        logging.getLogger("aiokafka.conn").warning("Sending username and password in the clear")
    assert heard.reason is None


async def test_two_clients_of_one_process_do_not_hear_each_other() -> None:
    mine, other = ear(), ear()

    async def client(owner: Ear, line: str) -> None:
        with attached(owner), speaking(owner):
            # The client speaks from tasks of its own; they inherit whose they are.
            await asyncio.create_task(asyncio.to_thread(logging.getLogger("aiokafka").error, line))

    with capture_logs():
        await asyncio.gather(client(mine, "certificate verify failed"), client(other, "Connect call failed"))
    assert [str(mine.reason).count("certificate"), str(other.reason).count("certificate")] == [2, 0]


def test_the_same_line_is_logged_once_in_thirty_seconds_and_then_says_how_often_it_came() -> None:
    clock = FakeClock()
    heard = Ear("kafka", "b:9092", clock.monotonic)
    with attached(heard), speaking(heard), capture_logs() as lines:
        for _ in range(50):
            logging.getLogger("aiokafka").error("Unable connect to %s", "b:1")
        clock.jump(31)
        logging.getLogger("aiokafka").error("Unable connect to %s", "b:1")
    assert [line["unsaid"] for line in lines] == [0, 49]


def test_the_clients_log_is_as_before_when_nobody_listens_any_more() -> None:
    log = logging.getLogger("aiokafka")
    before = (log.level, log.propagate, list(log.handlers))
    with attached(ear()), attached(ear()):
        assert log.propagate is False
    assert (log.level, log.propagate, list(log.handlers)) == before


def test_lines_from_elsewhere_are_not_taken_for_ones_own() -> None:
    heard = ear()
    with attached(heard), capture_logs() as lines:
        contextvars.Context().run(logging.getLogger("aiokafka").error, "Connect call failed")
    assert (heard.reason, lines) == (None, [])
