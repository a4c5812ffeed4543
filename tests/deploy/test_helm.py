from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from kubernetes_validate import ValidationError

from imageferry import policies
from imageferry.clouds.facts import FACTS
from imageferry.settings import Settings, load
from imageferry.settings.blueprint import Blueprint
from support.charts import CHART, FULL, ChartRefused, Manifest, helm, one, render
from support.programs import ROOT

KUBERNETES = ("1.28", "1.31", "1.34", "1.37")
BUILT_IN = ["ConfigMap", "ConfigMap", "Service", "ServiceAccount", "StatefulSet"]
VARIABLES = {"LEDGER_PASSWORD": "pw-1", "TENCENT_ID": "id-1", "TENCENT_KEY": "key-1", "KAFKA_PASSWORD": "pw-2"}
ACCOUNT = {"cloud": "tencent", "regions": ["ap-guangzhou"]}
POLICY = {"name": "a", "match": {"cloud": "tencent"}, "actions": [{"copy": {"regions": ["ap-shanghai"]}}]}
POLICIES = {"a.yaml": {"policies": [POLICY]}}


@pytest.fixture(params=[(), (FULL,)], ids=["default values", "full values"])
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return render(*request.param)


def pod(manifests: list[Manifest]) -> dict[str, Any]:
    spec: dict[str, Any] = one(manifests, "StatefulSet")["spec"]["template"]["spec"]
    return spec


def container(manifests: list[Manifest]) -> dict[str, Any]:
    (found,) = pod(manifests)["containers"]
    return dict(found)


def volumes(manifests: list[Manifest]) -> dict[str, dict[str, Any]]:
    return {volume["name"]: volume for volume in pod(manifests)["volumes"]}


def written(manifests: list[Manifest], folder: Path) -> Path:
    """The config and the policies as the pod sees them; the config's path."""
    for name, content in one(manifests, "ConfigMap", "-policies")["data"].items():
        (folder / "policies").mkdir(exist_ok=True)
        (folder / "policies" / name).write_text(content)
    path = folder / "imageferry.yaml"
    path.write_text(one(manifests, "ConfigMap", "-config")["data"]["imageferry.yaml"])
    return path


def refusal(values: dict[str, Any], folder: Path) -> str:
    with pytest.raises(ChartRefused) as caught:
        render(values=values, folder=folder)
    return str(caught.value)


# --- the manifests ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", [(), (f"--values={FULL}",)], ids=["default values", "full values"])
def test_helm_lint_has_nothing_against_the_chart(values: tuple[str, ...]) -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", str(CHART), *values)


@pytest.mark.parametrize("version", KUBERNETES)
def test_every_manifest_fits_the_schemas_of_kubernetes(manifests: list[Manifest], version: str) -> None:
    for manifest in manifests:
        if manifest["kind"] != "ServiceMonitor":  # a custom resource; there is no schema to hold it against
            kubernetes_validate.validate(manifest, version, strict=True)


def test_the_schemas_would_refuse_a_misspelt_key() -> None:
    stateful_set = one(render(), "StatefulSet")
    stateful_set["spec"]["serviceNames"] = "x"
    with pytest.raises(ValidationError):
        kubernetes_validate.validate(stateful_set, KUBERNETES[0], strict=True)


def test_the_kinds_are_these_and_never_a_secret() -> None:
    assert sorted(m["kind"] for m in render()) == BUILT_IN


def test_a_service_monitor_comes_on_request_and_finds_the_service() -> None:
    manifests = render(FULL)
    assert sorted(m["kind"] for m in manifests) == sorted([*BUILT_IN, "ServiceMonitor"])
    monitor, service = one(manifests, "ServiceMonitor")["spec"], one(manifests, "Service")
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["endpoints"] == [{"port": "ops", "path": "/metrics", "interval": "15s"}]
    assert [port["name"] for port in service["spec"]["ports"]] == ["ops"]


def test_the_chart_carries_the_programs_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (version, version)


# --- the pod ---------------------------------------------------------------------------------------------------------


def test_one_replica_keeps_its_ledger_on_a_volume(manifests: list[Manifest]) -> None:
    spec = one(manifests, "StatefulSet")["spec"]
    assert spec["replicas"] == 1
    assert [claim["metadata"]["name"] for claim in spec["volumeClaimTemplates"]] == ["ledger"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container(manifests)["volumeMounts"]}
    assert mounts["ledger"] == "/var/lib/imageferry"


@pytest.mark.parametrize(
    ("persistence", "volume"),
    [
        ({"enabled": False}, {"name": "ledger", "emptyDir": {}}),
        ({"existingClaim": "mine"}, {"name": "ledger", "persistentVolumeClaim": {"claimName": "mine"}}),
    ],
)
def test_another_volume_takes_the_place_of_the_claim(
    persistence: dict[str, Any], volume: object, tmp_path: Path
) -> None:
    manifests = render(values={"persistence": persistence}, folder=tmp_path)
    assert "volumeClaimTemplates" not in one(manifests, "StatefulSet")["spec"]
    assert volumes(manifests)["ledger"] == volume


def test_the_pod_has_no_rights_it_does_not_need(manifests: list[Manifest]) -> None:
    spec = pod(manifests)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert container(manifests)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_probes_ask_the_ops_listener(manifests: list[Manifest], tmp_path: Path) -> None:
    found = container(manifests)
    paths = {name: found[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    (port,) = found["ports"]
    ops = load(written(manifests, tmp_path), VARIABLES).ops
    assert (ops.host, ops.port) == ("0.0.0.0", port["containerPort"])  # noqa: S104 - a pod's listener is asked from outside


def test_secrets_come_by_reference_as_variables_and_as_files() -> None:
    manifests = render(FULL)
    assert container(manifests)["envFrom"] == [{"secretRef": {"name": "imageferry-keys"}}]
    secret = volumes(manifests)["secret-0"]["secret"]
    assert (secret["secretName"], secret["defaultMode"]) == ("imageferry-tls", 0o440)
    mounts = {mount["name"]: mount["mountPath"] for mount in container(manifests)["volumeMounts"]}
    assert mounts["secret-0"] == "/run/secrets/imageferry/imageferry-tls"


def test_every_mounted_volume_is_there(manifests: list[Manifest]) -> None:
    claims = one(manifests, "StatefulSet")["spec"].get("volumeClaimTemplates", [])
    there = [*volumes(manifests), *(claim["metadata"]["name"] for claim in claims)]
    assert sorted(there) == sorted(mount["name"] for mount in container(manifests)["volumeMounts"])


@pytest.mark.parametrize(
    ("changed", "new_pod"), [({"config": {"logging": {"level": "debug"}}}, True), ({"policies": POLICIES}, False)]
)
def test_changed_settings_make_a_new_pod_and_changed_policies_do_not(
    changed: dict[str, Any],
    new_pod: bool,  # noqa: FBT001 - a fixture's value
    tmp_path: Path,
) -> None:
    def pod(manifests: list[Manifest]) -> object:
        return one(manifests, "StatefulSet")["spec"]["template"]

    assert (pod(render(values=changed, folder=tmp_path)) != pod(render())) == new_pod


# --- what is inside the config maps ----------------------------------------------------------------------------------


def test_the_daemon_takes_the_rendered_config_and_policies(manifests: list[Manifest], tmp_path: Path) -> None:
    settings = load(written(manifests, tmp_path), VARIABLES)
    assert isinstance(settings, Settings)
    assert settings.policies == Path("/etc/imageferry/policies")
    assert policies.load(tmp_path / "policies", FACTS).names


def test_the_daemon_finds_the_config_and_policies_where_they_are_mounted(manifests: list[Manifest]) -> None:
    mounts = {mount["name"]: mount["mountPath"] for mount in container(manifests)["volumeMounts"]}
    environment = {entry["name"]: entry["value"] for entry in container(manifests)["env"]}
    assert environment["IMAGEFERRY_CONFIG"] == f"{mounts['config']}/imageferry.yaml"
    assert mounts["policies"] == "/etc/imageferry/policies"


def test_what_the_values_say_reaches_the_settings(tmp_path: Path) -> None:
    settings = load(written(render(FULL), tmp_path), VARIABLES)
    (account,) = settings.accounts
    assert (account.name, account.account_id, account.regions) == (
        "prod",
        "100000000001",
        ("ap-guangzhou", "ap-shanghai"),
    )
    assert account.credentials.values == {"secret_id": "id-1", "secret_key": "key-1"}
    assert policies.load(tmp_path / "policies", FACTS).names == ("archive", "recovery")


def test_the_example_vanishes_as_soon_as_there_is_an_account(tmp_path: Path) -> None:
    values = {"config": {"accounts": {"mine": ACCOUNT}}, "policies": POLICIES}
    settings = load(written(render(values=values, folder=tmp_path), tmp_path), {})
    assert [account.name for account in settings.accounts] == ["mine"]
    assert policies.load(tmp_path / "policies", FACTS).names == ("a",)


def test_accounts_without_policies_are_refused(tmp_path: Path) -> None:
    assert "give at least one policy file" in refusal({"config": {"accounts": {"mine": ACCOUNT}}}, tmp_path)


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"replicas": 2}, "replicas"),
        ({"image": {"tagg": "1"}}, "tagg"),
        ({"config": {"acounts": {}}}, "acounts"),
        ({"config": {"ops": {"listen": "0.0.0.0:1"}}}, "ops"),
        ({"config": {"accounts": {"mine": {"cloud": "tencnt", "regions": ["r"]}}}}, "cloud"),
        ({"config": {"accounts": {"mine": {**ACCOUNT, "account_id": 100000000001}}}}, "account_id"),
        ({"config": {"sources": [{"type": "kafak"}]}}, "sources"),
        ({"policies": {"a.yml": {"policies": []}}}, "a.yml"),
        ({"persistence": {"size": "much"}}, "size"),
    ],
)
def test_the_schema_refuses_a_typo_and_names_it(values: dict[str, Any], said: str, tmp_path: Path) -> None:
    assert said in refusal(values, tmp_path)


def test_the_schema_knows_the_sections_of_the_config_file() -> None:
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    assert {*schema["properties"]["config"]["properties"], "ops", "policies"} == set(Blueprint.model_fields)


def test_the_schema_has_every_value_and_no_other() -> None:
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert set(schema["properties"]) - {"global"} == set(values)


def secret_words(schema: Any) -> Iterator[str]:
    """Every key of the config file whose value is a secret as a whole."""
    if isinstance(schema, dict):
        for key, shape in schema.get("properties", {}).items():
            if any(form.get("format") == "password" for form in (shape, *shape.get("anyOf", ()))):
                yield key
        schema = list(schema.values())
    for inner in schema if isinstance(schema, list) else ():
        yield from secret_words(inner)


@pytest.mark.parametrize("word", sorted({*secret_words(Blueprint.model_json_schema())} - {"url"}))
def test_a_secret_in_plain_text_is_refused_and_not_repeated(word: str, tmp_path: Path) -> None:
    account = {**ACCOUNT, "credentials": {"source": "static", word: "plain-7d1f"}}
    message = refusal({"config": {"accounts": {"mine": account}}, "policies": POLICIES}, tmp_path)
    assert f"config.accounts.mine.credentials.{word} holds a secret in plain text" in message
    assert "plain-7d1f" not in message


def test_a_variables_default_is_plain_text_too(tmp_path: Path) -> None:
    source = {"type": "webhook", "secret": "${HOOK:-plain-7d1f}"}
    message = refusal({"config": {"sources": [source]}}, tmp_path)
    assert "config.sources[0].secret holds a secret in plain text" in message


@pytest.mark.parametrize("user", ["imageferry:plain-7d1f", "imageferry:${A}plain-7d1f"])
def test_a_password_in_an_address_is_refused_and_not_repeated(user: str, tmp_path: Path) -> None:
    message = refusal({"config": {"ledger": {"url": f"postgresql://{user}@db/imageferry"}}}, tmp_path)
    assert "config.ledger.url holds a password in plain text" in message
    assert "plain-7d1f" not in message


def test_an_address_without_a_password_is_fine(tmp_path: Path) -> None:
    account = {**ACCOUNT, "storage_endpoint": "http://127.0.0.1:9000/{bucket}"}
    ledger = {"url": "postgresql://imageferry@db:5432/imageferry"}
    values = {"config": {"ledger": ledger, "accounts": {"mine": account}}, "policies": POLICIES}
    assert len(render(values=values, folder=tmp_path)) == len(BUILT_IN)
