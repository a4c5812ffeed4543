"""The config file as a whole: what a right one becomes, what a wrong one is told."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import get_args

import pytest

from imageferry.clouds.facts import FACTS
from imageferry.core.account import Account, Backoff, CredentialSpec, Polls, Role, Timeouts
from imageferry.core.facts import KindLimit
from imageferry.errors import BadFile
from imageferry.publishers import specs as publishers
from imageferry.settings import Settings, find_config, load, settings_table
from imageferry.settings.blueprint import Logging
from imageferry.sources import specs as sources
from imageferry.telemetry.logs import LEVELS

WRONG = Path(__file__).parent / "wrong_files"
EXAMPLES = Path(__file__).parents[2] / "config"
ACCOUNT = "accounts:\n  prod: {cloud: tencent, regions: [ap-guangzhou]}\n"
NOTHING: Mapping[str, str] = MappingProxyType({})


class Folder:
    """A folder with a config file that is written and loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "imageferry.yaml"

    def load(self, text: str, **environ: str) -> Settings:
        self.config.write_text(text)
        return load(self.config, environ)

    def complaints(self, text: str, **environ: str) -> list[str]:
        with pytest.raises(BadFile) as caught:
            self.load(text, **environ)
        return [f"{c.line}:{c.column}: {c.message}" for c in caught.value.complaints]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


# --- what a right file becomes -------------------------------------------------------------------------------------


def test_the_least_file_gets_every_default(folder: Folder) -> None:
    settings = folder.load(ACCOUNT)

    assert settings == Settings(
        path=folder.config,
        ledger_url="sqlite:///var/lib/imageferry/ledger.db",
        policies=folder.path / "policies",
        ops=("127.0.0.1", 9464),
        logging=Logging(format="json", level="info"),
        accounts=(
            Account(
                name="prod",
                cloud="tencent",
                regions=("ap-guangzhou",),
                credentials=CredentialSpec(source="chain"),
                endpoint="https://cvm.{region}.tencentcloudapi.com",
                identity_endpoint="https://sts.{region}.tencentcloudapi.com",
                storage_endpoint="https://{bucket}.cos.{region}.myqcloud.com",
                limits={"export": KindLimit(20.0), "copy": KindLimit(10.0), "read": KindLimit(40.0)},
                counted_by="host",
            ),
        ),
        sources=(),
        publishers=(publishers.LogSpec(),),
        secrets=(),
    )


def test_everything_written_is_taken(folder: Folder) -> None:
    settings = folder.load("""\
ledger: {url: "postgresql://me:hunter2@db/imageferry"}
policies: /etc/policies.yaml
ops: {listen: "[::1]:0"}
logging: {format: console, level: debug}
accounts:
  prod:
    cloud: huawei
    account_id: "42"
    regions: [cn-north-4, cn-east-3]
    credentials: {source: static, ak: AK, sk: SK, security_token: ST, projects: {cn-north-4: p1}}
    endpoint: "http://127.0.0.1:9000/{region}/"
    identity_endpoint: "http://127.0.0.1:9001"
    storage_endpoint: "http://127.0.0.1:9002/{bucket}"
    limits: {export: {rate: 2/s, running: 7}, copy: {rate: 30/m}, read: {rate: 4/s}}
    poll: {tasks: 1s, images: 500ms}
    timeouts: {request: 1s, settle: 4s, image: 1m, export: 1h, copy: 1d}
    backoff: {first: 1s, longest: 1m, attempts: 3}
    export_version: v2.1
sources:
  - {type: file, path: "-"}
publishers:
  - {type: file, path: out.ndjson}
""")

    assert settings.ledger_url == "postgresql://me:hunter2@db/imageferry"
    assert settings.policies == Path("/etc/policies.yaml")
    assert settings.ops == ("::1", 0)
    assert (settings.logging.format, settings.logging.level) == ("console", "debug")
    assert settings.sources == (sources.FileSpec(path="-"),)
    assert settings.publishers == (publishers.FileSpec(path="out.ndjson"),)
    assert settings.accounts == (
        Account(
            name="prod",
            cloud="huawei",
            account_id="42",
            regions=("cn-north-4", "cn-east-3"),
            credentials=CredentialSpec(
                source="static",
                values={"ak": "AK", "sk": "SK", "security_token": "ST"},
                projects={"cn-north-4": "p1"},
            ),
            endpoint="http://127.0.0.1:9000/{region}",
            identity_endpoint="http://127.0.0.1:9001",
            storage_endpoint="http://127.0.0.1:9002/{bucket}",
            endpoint_set=True,
            limits={
                "export": KindLimit(2.0, 7),
                "copy": KindLimit(0.5, FACTS["huawei"].limits["copy"].running, "account"),
                "read": KindLimit(4.0),
            },
            counted_by="region",
            polls=Polls(tasks=1.0, images=0.5),
            timeouts=Timeouts(request=1.0, settle=4.0, image=60.0, export=3600.0, copy=86_400.0),
            backoff=Backoff(first=1.0, longest=60.0, attempts=3),
            switches={"export_version": "v2.1"},
        ),
    )


@pytest.mark.parametrize("cloud", FACTS)
def test_static_credentials_have_each_vendors_own_words(folder: Folder, cloud: str) -> None:
    facts = FACTS[cloud]
    words = (*facts.credential_words, *facts.optional_credential_words)
    keys = ", ".join(f"{word}: value-of-{word}" for word in words)

    settings = folder.load(
        f"accounts:\n  prod: {{cloud: {cloud}, regions: [a-1], credentials: {{source: static, {keys}}}}}\n"
    )

    assert settings.accounts[0].credentials.values == {word: f"value-of-{word}" for word in words}


@pytest.mark.parametrize("cloud", FACTS)
def test_words_that_may_be_left_out_are_left_out(folder: Folder, cloud: str) -> None:
    words = FACTS[cloud].credential_words
    keys = ", ".join(f"{word}: x" for word in words)

    settings = folder.load(
        f"accounts:\n  prod: {{cloud: {cloud}, regions: [a-1], credentials: {{source: static, {keys}}}}}\n"
    )

    assert tuple(settings.accounts[0].credentials.values) == words


@pytest.mark.parametrize("source", ["chain", "env", "instance", "oidc"])
def test_other_sources_of_credentials_need_nothing_else(folder: Folder, source: str) -> None:
    text = f"accounts:\n  prod: {{cloud: tencent, regions: [a-1], credentials: {{source: {source}}}}}\n"

    assert folder.load(text).accounts[0].credentials == CredentialSpec(source=source)


def test_a_credentials_file_may_have_a_profile_and_a_path(folder: Folder) -> None:
    text = "accounts:\n  p: {cloud: aliyun, regions: [a], credentials: {source: file, profile: x, path: /y}}\n"

    assert folder.load(text).accounts[0].credentials == CredentialSpec(source="file", profile="x", path="/y")


def test_projects_go_with_any_source_of_huaweis_credentials(folder: Folder) -> None:
    text = "accounts:\n  p: {cloud: huawei, regions: [a], credentials: {source: env, projects: {a: '1'}}}\n"

    assert folder.load(text).accounts[0].credentials == CredentialSpec(source="env", projects={"a": "1"})


ROLES = {
    "tencent": (
        'role_arn: "qcs::cam::uin/1:roleName/x", external_id: ext-1, session_name: ferry, duration: 1h',
        Role(name="qcs::cam::uin/1:roleName/x", external_id="ext-1", session_name="ferry", duration=3600.0),
    ),
    "aliyun": (
        'role_arn: "acs:ram::1:role/x", external_id: ext-1, session_name: ferry, duration: 15m',
        Role(name="acs:ram::1:role/x", external_id="ext-1", session_name="ferry", duration=900.0),
    ),
    "huawei": ("agency: x, domain: acme, duration: 1d", Role(name="x", owner="acme", duration=86_400.0)),
    "jdcloud": (
        'role_jrn: "jrn:iam::1:role/x", session_name: ferry, duration: 12h',
        Role(name="jrn:iam::1:role/x", session_name="ferry", duration=43_200.0),
    ),
}
"""Cloud -> everything that may be said of a role there, and what it becomes."""


@pytest.mark.parametrize("source", ["env", "file", "instance", "chain"])
@pytest.mark.parametrize("cloud", ROLES)
def test_a_role_stands_beside_any_source_in_the_vendors_own_words(folder: Folder, cloud: str, source: str) -> None:
    text, role = ROLES[cloud]

    settings = folder.load(
        f"accounts:\n  p: {{cloud: {cloud}, regions: [a], credentials: {{source: {source}, {text}}}}}\n"
    )

    assert settings.accounts[0].credentials == CredentialSpec(source=source, role=role)


@pytest.mark.parametrize("cloud", FACTS)
def test_a_role_stands_beside_the_keys_themselves_and_has_defaults(folder: Folder, cloud: str) -> None:
    facts = FACTS[cloud]
    keys = "".join(f", {word}: x" for word in facts.credential_words)
    owner = f", {facts.role.owner}: acme" if facts.role.owner else ""
    role = f', {facts.role.word}: "{facts.role.example}"{owner}'

    settings = folder.load(
        f"accounts:\n  p: {{cloud: {cloud}, regions: [a], credentials: {{source: static{keys}{role}}}}}\n"
    )

    expected = Role(name=facts.role.example, owner=owner and "acme", duration=facts.role.usual)
    assert settings.accounts[0].credentials.role == expected


def test_an_external_id_is_in_no_repr() -> None:
    assert "ext-1" not in repr(ROLES["tencent"][1])


@pytest.mark.parametrize("cloud", FACTS)
def test_a_cloud_has_its_own_switches_with_their_defaults(folder: Folder, cloud: str) -> None:
    settings = folder.load(f"accounts:\n  p: {{cloud: {cloud}, regions: [a]}}\n")

    assert settings.accounts[0].switches == {name: each.words[0] for name, each in FACTS[cloud].switches.items()}


@pytest.mark.parametrize(
    ("cloud", "name", "word"),
    [
        (cloud, name, word)
        for cloud, facts in FACTS.items()
        for name, each in facts.switches.items()
        for word in each.words
    ],
)
def test_a_switch_takes_each_of_its_words(folder: Folder, cloud: str, name: str, word: str) -> None:
    settings = folder.load(f"accounts:\n  p: {{cloud: {cloud}, regions: [a], {name}: {word}}}\n")

    assert settings.accounts[0].switches[name] == word


def test_two_accounts_of_one_cloud_are_told_apart_by_their_ids(folder: Folder) -> None:
    text = """\
accounts:
  a: {cloud: tencent, regions: [x], account_id: "1"}
  b: {cloud: tencent, regions: [x], account_id: "2"}
  c: {cloud: aliyun, regions: [x], account_id: "1"}
"""

    assert [account.account_id for account in folder.load(text).accounts] == ["1", "2", "1"]


def test_the_only_accounts_of_their_clouds_need_no_id(folder: Folder) -> None:
    text = "accounts:\n  a: {cloud: tencent, regions: [x]}\n  b: {cloud: aliyun, regions: [x]}\n"

    assert [account.account_id for account in folder.load(text).accounts] == [None, None]


def test_listeners_may_share_a_port_where_they_do_not_share_an_address(folder: Folder) -> None:
    text = ACCOUNT + (
        'ops: {listen: "127.0.0.1:9464"}\nsources:\n'
        '  - {type: webhook, listen: "127.0.0.2:9464", secret: x}\n'
        '  - {type: webhook, listen: "127.0.0.1:0", secret: x}\n'
        '  - {type: webhook, listen: "127.0.0.1:0", secret: x}\n'
    )

    assert len(folder.load(text).sources) == 3


def test_the_same_topic_of_another_cluster_is_another_topic(folder: Folder) -> None:
    text = ACCOUNT + (
        'sources: [{type: kafka, bootstrap_servers: "a:9092", topics: [t]}]\n'
        'publishers: [{type: kafka, bootstrap_servers: "b:9092", topic: t}]\n'
    )

    assert len(folder.load(text).publishers) == 1


def test_no_source_is_allowed_with_a_warning(folder: Folder) -> None:
    assert folder.load(ACCOUNT).warnings() == [
        f"{folder.config}: no sources are configured; the daemon will hear of no image"
    ]


def test_one_storage_address_for_all_buckets_is_a_warning(folder: Folder) -> None:
    text = (
        'accounts:\n  prod: {cloud: tencent, regions: [x], storage_endpoint: "http://h"}\n'
        'sources: [{type: file, path: "-"}]\n'
    )

    (warning,) = folder.load(text).warnings()

    assert warning.startswith(f"{folder.config}: accounts.prod.storage_endpoint has no {{bucket}};")


# --- variables and secret files ------------------------------------------------------------------------------------


def with_id(text: str) -> str:
    return f"accounts:\n  prod: {{cloud: tencent, regions: [a], account_id: '{text}'}}\n"


@pytest.mark.parametrize(
    ("text", "environ", "value"),
    [
        ("${ID}", {"ID": "1"}, "1"),
        ("x-${ID}-${ID}", {"ID": "1"}, "x-1-1"),
        ("${ID:-2}", {}, "2"),
        ("${ID:-2}", {"ID": ""}, "2"),
        ("${ID:-2}", {"ID": "1"}, "1"),
        ("x${ID:-}", {}, "x"),
        ("x${ID}", {"ID": ""}, "x"),
        ("$${ID}", {"ID": "1"}, "${ID}"),
        ("$ID", {"ID": "1"}, "$ID"),
        ("${ID}", {"ID": "${OTHER}"}, "${OTHER}"),
        ("${ID}", {"ID": "a: [b"}, "a: [b"),
    ],
)
def test_a_variable_is_replaced_inside_a_value(folder: Folder, text: str, environ: dict[str, str], value: str) -> None:
    assert folder.load(with_id(text), **environ).accounts[0].account_id == value


def test_a_number_may_come_from_a_variable(folder: Folder) -> None:
    text = "accounts:\n  prod: {cloud: tencent, regions: [a], limits: {export: {running: '${N:-5}'}}}\n"

    assert folder.load(text).accounts[0].limits["export"].running == 5


def test_a_variable_in_a_key_stays_as_it_is(folder: Folder) -> None:
    assert folder.complaints(ACCOUNT + "${ID}: x\n", ID="policies")[0].startswith('3:1: unknown key "${ID}"')


def test_every_variable_that_is_not_set_is_said_once(folder: Folder) -> None:
    assert folder.complaints(with_id("${A}${B}") + 'ops: {listen: "${C}"}\n') == [
        "2:52: accounts.prod.account_id: the variable A is not set; expected a value; set it or write ${A:-default}",
        "2:52: accounts.prod.account_id: the variable B is not set; expected a value; set it or write ${B:-default}",
        "3:15: ops.listen: the variable C is not set; expected a value; set it or write ${C:-default}",
    ]


def keys_from(path: Path | str) -> str:
    return (
        "accounts:\n  prod: {cloud: tencent, regions: [a],"
        f" credentials: {{source: static, secret_id: i, secret_key_file: '{path}'}}}}\n"
    )


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        ("hunter2", "hunter2"),
        ("hunter2\n", "hunter2"),
        ("hunter2\r\n", "hunter2"),
        ("hunter2\n\n", "hunter2\n"),
        (" x ", " x "),
    ],
)
def test_a_secret_is_a_files_text_without_one_newline_at_its_end(folder: Folder, content: str, secret: str) -> None:
    (folder.path / "key").write_bytes(content.encode())

    assert folder.load(keys_from(folder.path / "key")).accounts[0].credentials.values["secret_key"] == secret


def test_a_secret_files_path_is_relative_to_the_config_file(folder: Folder) -> None:
    (folder.path / "key").write_text("hunter2")

    assert folder.load(keys_from("key")).accounts[0].credentials.values["secret_key"] == "hunter2"


def test_a_secret_files_path_may_hold_a_variable(folder: Folder) -> None:
    (folder.path / "key").write_text("hunter2")

    settings = folder.load(keys_from("${DIR}/key"), DIR=str(folder.path))

    assert settings.accounts[0].credentials.values["secret_key"] == "hunter2"


def test_secrets_of_sources_and_publishers_may_come_from_files(folder: Folder) -> None:
    for name in ("hook", "kafka", "out"):
        (folder.path / name).write_text(f"secret-{name}\n")
    settings = folder.load(
        ACCOUNT
        + """\
ledger: {url: sqlite:///x.db}
sources:
  - {type: webhook, listen: "127.0.0.1:0", secret_file: hook}
  - type: kafka
    bootstrap_servers: a:9092
    topics: [t]
    security_protocol: SASL_PLAINTEXT
    sasl_mechanism: PLAIN
    sasl_username: me
    sasl_password_file: kafka
publishers:
  - {type: webhook, url: "https://h/x", secret_file: out}
"""
    )

    assert settings.secrets == ("secret-hook", "secret-kafka", "secret-out")


def test_the_ledgers_address_may_come_from_a_file(folder: Folder) -> None:
    (folder.path / "url").write_text("postgresql://me:hunter2@db/x\n")

    settings = folder.load(ACCOUNT + "ledger: {url_file: url}\n")

    assert (settings.ledger_url, settings.secrets) == ("postgresql://me:hunter2@db/x", ("hunter2",))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty; expected the secret alone, as text"),
        (b"\n", "the file is empty; expected the secret alone, as text"),
        (b"hunter2\xff", "the file is not UTF-8 text; expected the secret alone, as text"),
        (b"hunter2" * 20_000, "the file is larger than a secret; expected the secret alone, as text"),
    ],
)
def test_a_file_that_holds_no_secret_is_a_complaint_that_does_not_quote_it(
    folder: Folder, content: bytes, reason: str
) -> None:
    (folder.path / "key").write_bytes(content)

    column = keys_from("key").splitlines()[1].index("'key'") + 1

    assert folder.complaints(keys_from("key")) == [f"2:{column}: accounts.prod.credentials.secret_key_file: {reason}"]


def test_files_of_a_kafka_connection_are_not_taken_for_secrets(folder: Folder) -> None:
    text = (
        ACCOUNT
        + """\
sources:
  - type: kafka
    bootstrap_servers: a:9092
    topics: [t]
    security_protocol: SSL
    tls: {ca_file: /none/ca.pem, cert_file: /none/cert.pem, key_file: /none/key.pem}
"""
    )

    spec = folder.load(text).sources[0]

    assert isinstance(spec, sources.KafkaSpec)
    assert spec.tls is not None
    assert spec.tls.key_file == "/none/key.pem"


# --- secrets stay hidden -------------------------------------------------------------------------------------------


def test_no_secret_shows_in_the_settings_as_text(folder: Folder) -> None:
    settings = folder.load("""\
ledger: {url: "postgresql://me:hunter2@db/x"}
accounts:
  prod: {cloud: tencent, regions: [a], credentials: {source: static, secret_id: hunter2, secret_key: hunter2}}
sources: [{type: webhook, listen: "127.0.0.1:0", secret: hunter2}]
""")

    assert "hunter2" not in repr(settings) + str(settings)
    assert settings.secrets == ("hunter2",)


# --- what a wrong file is told -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(path.stem for path in WRONG.glob("*.yaml")))
def test_a_wrong_file_is_told_what_is_wrong_and_where(name: str) -> None:
    path = WRONG / f"{name}.yaml"
    with pytest.raises(BadFile) as caught:
        load(path, NOTHING)

    said = "".join(f"{c.line}:{c.column}: {c.message}\n" for c in caught.value.complaints)

    assert said == (WRONG / f"{name}.expected").read_text()


@pytest.mark.parametrize("name", sorted(path.stem for path in WRONG.glob("*.yaml")))
def test_no_complaint_of_a_wrong_file_holds_a_secret(name: str) -> None:
    with pytest.raises(BadFile) as caught:
        load(WRONG / f"{name}.yaml", NOTHING)

    said = str(caught.value) + repr(caught.value.__cause__)

    assert not [secret for secret in ("hunter2", "EXAMPLE", "12345678") if secret in said]


def test_every_expectation_has_its_file() -> None:
    assert sorted(path.stem for path in WRONG.glob("*.expected")) == sorted(path.stem for path in WRONG.glob("*.yaml"))


def test_a_complaint_is_one_line_with_path_line_and_column(folder: Folder) -> None:
    folder.config.write_text(ACCOUNT + "policy: x\n")
    with pytest.raises(BadFile) as caught:
        load(folder.config, NOTHING)

    assert str(caught.value) == (
        f'{folder.config}:3:1: unknown key "policy"; expected one of ledger, policies, ops, logging, accounts, sources,'
        ' publishers; did you mean "policies"?'
    )


def test_a_config_file_that_is_not_there_is_a_complaint(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"none\.yaml:1:1: the file cannot be read: No such file or directory"):
        load(tmp_path / "none.yaml", NOTHING)


# --- where the file is ---------------------------------------------------------------------------------------------


def test_the_named_file_comes_first() -> None:
    assert find_config("a.yaml", {"IMAGEFERRY_CONFIG": "b.yaml"}) == Path("a.yaml")


def test_the_environments_file_comes_second(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imageferry.yaml").touch()

    assert find_config(None, {"IMAGEFERRY_CONFIG": "b.yaml"}) == Path("b.yaml")


def test_the_working_folders_file_comes_third(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imageferry.yaml").touch()

    assert find_config(None, {"IMAGEFERRY_CONFIG": ""}) == Path("imageferry.yaml")


def test_the_systems_file_comes_last(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usual = (tmp_path / "none.yaml", tmp_path / "there.yaml")
    usual[1].touch()
    monkeypatch.setattr("imageferry.settings.loader.USUAL", usual)

    assert find_config(None, NOTHING) == usual[1]


def test_no_file_anywhere_is_a_complaint_that_says_where_it_was_looked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("imageferry.settings.loader.USUAL", (tmp_path / "a.yaml", tmp_path / "b.yaml"))

    with pytest.raises(BadFile) as caught:
        find_config(None, NOTHING)

    assert str(caught.value) == (
        f"{tmp_path}/a.yaml:1:1: there is no config file; expected {tmp_path}/a.yaml or {tmp_path}/b.yaml;"
        " name one with --config or IMAGEFERRY_CONFIG"
    )


# --- what is shipped -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_an_example_is_valid_without_a_warning(path: Path) -> None:
    assert load(path, NOTHING).warnings() == []


def test_the_full_example_shows_every_cloud_source_and_publisher() -> None:
    settings = load(EXAMPLES / "imageferry.yaml", NOTHING)

    assert {account.cloud for account in settings.accounts} == set(FACTS)
    assert {type(spec) for spec in settings.sources} == set(get_args(get_args(sources.Spec)[0]))
    assert {type(spec) for spec in settings.publishers} == set(get_args(get_args(publishers.Spec)[0]))


def test_the_full_example_writes_the_defaults_it_says_it_does() -> None:
    written = load(EXAMPLES / "imageferry.yaml", NOTHING).accounts[0]

    assert (written.polls, written.timeouts, written.backoff) == (Polls(), Timeouts(), Backoff())
    assert written.endpoint == FACTS["tencent"].endpoint
    assert written.identity_endpoint == FACTS["tencent"].identity_endpoint
    assert written.storage_endpoint == FACTS["tencent"].storage_endpoint


def test_the_log_knows_every_level_that_can_be_set() -> None:
    assert get_args(Logging.model_fields["level"].annotation) == LEVELS


def test_the_table_has_a_row_for_every_key_of_the_full_example() -> None:
    keys = {line.split("`")[1] for line in settings_table().splitlines() if line.startswith("| `")}

    assert keys >= {
        "ledger.url",
        "policies",
        "ops.listen",
        "logging.format",
        "accounts.<name>.regions",
        "accounts.<name>.credentials.source",
        "accounts.<name>.credentials.access_key_secret",
        "accounts.<name>.limits.copy.running",
        "accounts.<name>.timeouts.settle",
        "accounts.<name>.backoff.attempts",
        "sources[kafka].topics",
        "sources[kafka].tls.ca_file",
        "sources[polling].every",
        "publishers[webhook].url",
    }


def test_the_table_writes_defaults_as_people_do() -> None:
    rows = settings_table().splitlines()

    assert [row.split(" | ")[1] for row in rows if row.startswith("| `accounts.<name>.timeouts.")] == [
        "`20s`",
        "`90s`",
        "`24h`",
        "`24h`",
        "`12h`",
    ]


def test_the_table_says_what_each_cloud_has_for_a_default() -> None:
    rows = {row.split("`")[1]: row for row in settings_table().splitlines() if row.startswith("| `")}

    assert rows["limits.copy"] == (
        "| `limits.copy` | 10/s; running: learned | 1/s; running: 5 per region | 1/s; running: 5 per account"
        " | 1/s; running: learned |"
    )
