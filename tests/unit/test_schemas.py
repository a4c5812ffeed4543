"""The editors' schemas: what is right is taken, and what a schema can know to be wrong is not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from imageferry import yamlmap
from imageferry.errors import BadFile
from imageferry.schemas import SCHEMAS
from support.commands import invoke
from support.markdown import Block, blocks
from support.programs import ROOT

HERE = Path(__file__).parent
VALIDATORS = {what: Draft7Validator(make()) for what, make in SCHEMAS.items()}
EXAMPLES = [
    *(("config", path) for path in sorted((ROOT / "config").glob("*.yaml"))),
    *(("policies", path) for path in sorted((ROOT / "policies").glob("*.yaml")) if ".test." not in path.name),
    *(("tests", path) for path in sorted((ROOT / "policies").glob("*.test.yaml"))),
]
ACCOUNT = "accounts: {prod: {cloud: tencent, regions: [ap-guangzhou]}}\n"


def faults(what: str, data: Any) -> list[str]:
    return [error.json_path for error in VALIDATORS[what].iter_errors(data)]


def refused(what: str, text: str) -> bool:
    return bool(faults(what, yamlmap.parse(text, "test").data))


@pytest.mark.parametrize("what", SCHEMAS)
def test_a_schema_is_one(what: str) -> None:
    Draft7Validator.check_schema(SCHEMAS[what]())


@pytest.mark.parametrize("what", SCHEMAS)
def test_the_command_prints_what_is_committed(what: str) -> None:
    result = invoke("schema", what)

    assert (result.exit_code, result.stdout) == (0, (ROOT / "docs" / "schema" / f"{what}.json").read_text())


def test_a_schema_there_is_not_is_a_mistake_of_usage() -> None:
    assert invoke("schema", "policy").exit_code == 2


# --- what is right -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("what", "path"), EXAMPLES, ids=lambda each: each if isinstance(each, str) else each.name)
def test_every_example_is_taken_and_names_its_schema(what: str, path: Path) -> None:
    [named] = re.findall(r"^# yaml-language-server: \$schema=(\S+)$", path.read_text(), re.MULTILINE)

    assert (path.parent / named).resolve() == ROOT / "docs" / "schema" / f"{what}.json"
    assert faults(what, yamlmap.read(path).data) == []


@pytest.mark.parametrize("block", blocks("yaml"), ids=lambda block: f"{block.page}:{block.title or 'block'}")
def test_every_file_that_the_documents_show_is_taken(block: Block) -> None:
    data = yamlmap.parse(block.text, block.page).data
    what = next((each for each in ("tests", "policies") if isinstance(data.get(each), list)), "config")

    if what != "config":
        assert faults(what, data) == []
    else:
        assert faults(what, {"accounts": {"prod": {"cloud": "tencent", "regions": ["r"]}}} | data) == []


RIGHT = {
    "a null where nothing is meant": "accounts: {prod: {cloud: tencent, regions: [a], account_id: }}",
    "a variable for a word": ACCOUNT + 'logging: {level: "${LEVEL:-info}"}',
    "a variable for a number": "accounts: {a: {cloud: jdcloud, regions: [r], limits: {copy: {running: '${N}'}}}}",
    "a variable for a duration": "accounts: {a: {cloud: jdcloud, regions: [r], poll: {tasks: '${POLL}'}}}",
    "a variable inside a duration": "accounts: {a: {cloud: jdcloud, regions: [r], poll: {tasks: '${POLL:-30}s'}}}",
    "a variable for a cloud": "accounts: {a: {cloud: '${CLOUD}', regions: [r]}}",
    "a variable for a kind": ACCOUNT + "sources: [{type: '${KIND}', path: x}]",
    "secrets from files": (
        "accounts: {a: {cloud: huawei, regions: [r], "
        "credentials: {source: static, ak: x, sk_file: y, security_token_file: z, projects: {r: p}}}}"
    ),
    "the ledger's address from a file": ACCOUNT + "ledger: {url_file: x}",
    "brokers as a list": ACCOUNT + "sources: [{type: kafka, bootstrap_servers: ['a:1'], topics: [t]}]",
    "a password from a file": (
        ACCOUNT + "publishers: [{type: kafka, bootstrap_servers: 'a:1', topic: t, sasl_password_file: x}]"
    ),
}


@pytest.mark.parametrize("case", RIGHT)
def test_what_the_config_takes_its_schema_takes(case: str) -> None:
    assert not refused("config", RIGHT[case])


@pytest.mark.parametrize(
    "match",
    [
        "cloud: tencent",
        "cloud: [tencent, 'a*']",
        "os: '[lw]*'",
        "created_within: 1.5h",
        "tags: {a: b, c: [d, 'e*']}",
        "size_gib: {min: 1}",
        "any: [{not: {all: [{encrypted: true}]}}]",
        "copies: include, visibility: '*'",
    ],
)
def test_every_way_to_write_a_matcher_is_taken(match: str) -> None:
    assert not refused("policies", f"policies: [{{name: a, match: {{{match}}}, actions: [{{copy: {{regions: r}}}}]}}]")


# --- what is wrong -------------------------------------------------------------------------------------------------

BEYOND = {
    "config": {
        # what fits together across a file, what an address, a name, a region or an expression looks like, and variables
        "account_id_missing",
        "account_id_twice",
        "account_name",
        "backoff_upside_down",
        "duration_zero",
        "endpoint_placeholder",
        "endpoint_port",
        "endpoint_with_a_query",
        "endpoint_with_user",
        "endpoint_without_scheme",
        "file_cycle",
        "kafka_sasl_incomplete",
        "kafka_sasl_without_protocol",
        "kafka_server_with_a_scheme",
        "kafka_server_without_port",
        "kafka_tls_key_without_certificate",
        "kafka_tls_without_protocol",
        "kafka_topics_empty",
        "ledger_port",
        "ledger_relative",
        "ledger_url",
        "mapping_cloud",
        "mapping_function",
        "mapping_syntax",
        "oidc_at_jdcloud",
        "ops_listen",
        "ops_port_too_large",
        "port_twice",
        "publisher_file_twice",
        "rate_zero",
        "region_malformed",
        "region_twice",
        "request_longer_than_settle",
        "role_extras_without_role",
        "role_for_too_short",
        "role_of_another_cloud",
        "role_without_owner",
        "secret_file_missing",
        "secret_twice",
        "settle_too_short",
        "source_file_twice",
        "storage_endpoint_placeholder",
        "topic_cycle",
        "topic_twice",
        "variable_malformed",
        "variable_unset",
        "webhook_listen",
        "webhook_secret_empty",
    },
    "policies": {
        # what the named cloud takes, what a filled-in template becomes, what fits together in a policy
        "agency_at_tencent",
        "agency_missing_at_huawei",
        "bucket_in_capitals",
        "bucket_map_for_all_other_regions",
        "bucket_map_value_in_capitals",
        "bucket_too_short",
        "bucket_url",
        "bucket_with_a_blank",
        "bucket_with_an_underscore",
        "cloud_glob_of_none",
        "copies_said_twice",
        "copy_name_not_taken_at_aliyun",
        "copy_name_not_taken_at_jdcloud",
        "copy_name_too_long",
        "copy_name_too_long_for_jdcloud",
        "created_within_zero",
        "destination_twice",
        "disks_at_aliyun",
        "disks_at_huawei",
        "export_option_that_some_cloud_lacks",
        "export_options_no_cloud_takes",
        "format_at_jdcloud",
        "format_of_aliyun",
        "format_of_another_cloud",
        "format_of_huawei",
        "format_unknown",
        "name_matcher_in_a_block",  # to Python, not to JavaScript, "$" fits before a last line break too
        "name_not_printable",
        "name_with_outer_blanks",
        "no_cloud_fits",
        "no_cloud_fits_the_negation",
        "prefix_of_a_date_at_aliyun",
        "prefix_of_a_region_at_jdcloud",
        "prefix_too_long",
        "prefix_too_long_for_aliyun",
        "prefix_too_long_for_huawei",
        "prefix_too_long_for_jdcloud",
        "prefix_with_a_blank",
        "prefix_with_a_dot_at_jdcloud",
        "prefix_with_a_first_slash_at_huawei",
        "prefix_with_a_hyphen_at_aliyun",
        "prefix_with_a_slash",
        "prefix_with_two_slashes_at_huawei",
        "project_at_aliyun",
        "quick_at_tencent",
        "quick_with_a_format",
        "region_twice_in_a_copy",
        "region_twice_over_copies",
        "role_at_huawei",
        "role_missing_at_jdcloud",
        "size_upside_down",
        "tag_key_empty",
    },
    "tests": {
        # what an event says, what the defaults have said already, which policies there are
        "action_twice",
        "cloud_missing",
        "event_of_nothing",
        "extra_at_tencent",
        "extra_of_another_cloud",
        "event_says_where",
        "event_unreadable",
        "event_with_an_unknown_fact",
        "image_missing",
        "name_twice",
        "now_before_1970",
        "now_beyond_all_years",
        "policy_not_asked",
        "policy_of_action_unknown",
        "policy_of_defaults_unknown",
        "policy_of_verdict_unknown",
        "policy_unknown",
        "region_missing",
    },
}
"""Wrong files that a schema cannot know to be wrong."""
INSIDE_A_TEXT = "when_"
"""How the names of files begin of which the fault is inside an expression; to a schema that is any text."""
FOLDERS = {"config": "wrong_files", "policies": "wrong_policies", "tests": "wrong_tests"}


@pytest.mark.parametrize("what", SCHEMAS)
def test_a_wrong_file_is_refused_unless_no_schema_could_know(what: str) -> None:
    taken = set()
    for path in sorted((HERE / FOLDERS[what]).glob("*.yaml")):
        try:
            data = yamlmap.read(path).data
        except BadFile:
            continue  # no editor gets as far as the schema
        name = path.name.split(".")[0]
        if not name.startswith(INSIDE_A_TEXT) and not faults(what, data):
            taken.add(name)

    assert taken == BEYOND[what]


def test_a_template_with_a_typing_error_is_refused() -> None:
    action = "{{export: {{bucket: 'a-{{{0}}}'}}}}"
    policy = "policies: [{name: a, match: {os: linux}, actions: [%s]}]"

    assert refused("policies", policy % action.format("regoin"))
    assert not refused("policies", policy % action.format("region"))


def test_words_and_defaults_stand_as_people_write_them() -> None:
    shapes = SCHEMAS["config"]()["definitions"]
    policies = json.dumps(SCHEMAS["policies"]())

    assert shapes["TimeoutsShape"]["properties"]["image"]["default"] == "24h"
    assert shapes["Logging"]["properties"]["level"]["anyOf"][0]["enum"] == ["debug", "info", "warning", "error"]
    assert '"enum": ["tencent", "aliyun", "huawei", "jdcloud"]' in policies
    assert '"null"' not in policies
