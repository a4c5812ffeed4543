from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import Result

from support.commands import invoke, run

SECRET = "sEcReT-kEy-000111222"
CONFIG = f"""\
ledger: {{url: "sqlite:///tmp/ledger.db"}}
policies: policies/
accounts:
  prod:
    cloud: tencent
    regions: [ap-guangzhou, ap-shanghai]
    credentials: {{source: static, secret_id: AKIDmadeup, secret_key: "{SECRET}"}}
sources:
  - {{type: file, path: events.ndjson}}
"""
POLICY = """\
policies:
  - name: archive
    match: {cloud: tencent, os: linux}
    actions:
      - export: {bucket: "archive-{region}-1250000000"}
"""
LINE = re.compile(r"(.+?):(\d+):(\d+): \S.*")


def write(folder: Path, config: str | bytes = CONFIG, policy: str | bytes = POLICY) -> Path:
    (folder / "policies").mkdir(exist_ok=True)
    for path, content in ((folder / "imageferry.yaml", config), (folder / "policies" / "p.yaml", policy)):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder / "imageferry.yaml"


def check(config: Path) -> Result:
    result = invoke("check", "--config", config)
    assert "Traceback" not in result.output
    assert SECRET not in result.output
    return result


def complained(result: Result) -> set[tuple[str, int]]:
    """(file, line) of every complaint; fails where a line is not one."""
    matches = [LINE.fullmatch(line) for line in result.stderr.splitlines()]
    assert all(matches), result.stderr
    return {(Path(match[1]).name, int(match[2])) for match in matches if match}


def test_what_is_fine_is_told_in_one_line(tmp_path: Path) -> None:
    result = check(write(tmp_path))
    told = "fine: 1 account in 2 regions, 1 source, 1 publisher, 1 policy: archive\n"
    assert (result.exit_code, result.stdout, result.stderr) == (0, told, "")


def test_a_complaint_stays_on_its_line_and_leaves_the_terminal_alone(tmp_path: Path) -> None:
    result = check(write(tmp_path, policy=POLICY.replace("os:", '"o\\n\\e[2Js":')))

    assert complained(result) == {("p.yaml", 3)}
    assert 'unknown key "o\\x0a\\x1b[2Js"' in result.stderr


@pytest.mark.parametrize(
    ("old", "new", "warning"),
    [
        (
            "cloud: tencent, os",
            "account: prodd, os",
            "can match no image of these accounts: account is prod, wanted prodd",
        ),
        (
            "cloud: tencent, os",
            "region: ap-guangzou, os",
            "can match no image of these accounts: region is ap-guangzhou, wanted ap-guangzou",
        ),
        (
            "cloud: tencent, os",
            "cloud: huawei, os",
            "can match no image of these accounts: cloud is tencent, wanted huawei",
        ),
        (
            'bucket: "archive-{region}-1250000000"',
            "bucket: {ap-shangai: archive}",
            'has a bucket for ap-shangai: no account of the config lists the region; did you mean "ap-shanghai"?',
        ),
        (
            'export: {bucket: "archive-{region}-1250000000"}',
            "copy: {regions: [ap-shanghai, eu-frankfurt]}",
            "copies to eu-frankfurt: no account of the config lists the region",
        ),
    ],
)
def test_what_can_never_come_to_anything_here_is_warned_of(tmp_path: Path, old: str, new: str, warning: str) -> None:
    assert old in POLICY

    result = check(write(tmp_path, policy=POLICY.replace(old, new)))

    assert (result.exit_code, result.stderr) == (0, f'warning: policy "archive" {warning}\n')


def test_the_warning_is_about_the_accounts_of_the_policys_own_cloud(tmp_path: Path) -> None:
    more = "  far:\n    cloud: huawei\n    regions: [cn-north-4]\nsources"
    policy = POLICY.replace("cloud: tencent", "cloud: huawei, region: cn-north-1")

    result = check(write(tmp_path, CONFIG.replace("sources", more), policy))

    said = 'policy "archive" can match no image of these accounts: region is cn-north-4, wanted cn-north-1'
    assert (result.exit_code, result.stderr) == (0, f"warning: {said}\n")


def test_a_policy_that_some_account_fits_is_not_warned_of(tmp_path: Path) -> None:
    more = "  far:\n    cloud: huawei\n    regions: [cn-north-4]\nsources"
    policy = POLICY.replace("cloud: tencent", "region: cn-north-4")

    result = check(write(tmp_path, CONFIG.replace("sources", more), policy))

    assert (result.exit_code, result.stderr) == (0, "")


def test_of_very_many_policies_the_first_are_named_and_the_others_counted(tmp_path: Path) -> None:
    policy = "  - {name: p%d, match: {os: linux}, actions: [{copy: {regions: ap-beijing}}]}\n"
    result = check(write(tmp_path, policy="policies:\n" + "".join(policy % number for number in range(23))))
    assert (result.exit_code, result.stdout.rstrip()[-19:]) == (0, "p18, p19 and 3 more")


def test_a_config_without_sources_is_fine_with_a_warning(tmp_path: Path) -> None:
    result = check(write(tmp_path, CONFIG.partition("sources:")[0]))
    assert (result.exit_code, "no sources are configured" in result.stderr) == (0, True)


def test_every_mistake_of_config_and_policies_comes_at_once(tmp_path: Path) -> None:
    config = CONFIG.replace("regions:", "region:").replace("type: file", "type: fiel")
    policy = POLICY.replace("os: linux", "os: linus").replace("bucket:", "buckt:")
    result = check(write(tmp_path, config, policy))
    assert result.exit_code == 2
    assert complained(result) >= {("imageferry.yaml", 6), ("imageferry.yaml", 9), ("p.yaml", 3), ("p.yaml", 5)}
    assert "did you mean" in result.stderr


def test_a_config_that_is_wrong_does_not_hide_the_policies_mistakes(tmp_path: Path) -> None:
    result = check(write(tmp_path, CONFIG + "  - {type: nothing}\n", POLICY.replace("linux", "linus")))
    assert {name for name, _ in complained(result)} == {"imageferry.yaml", "p.yaml"}


NOT_YAML = {
    "a tab": b"policies:\n\t- name: p\n",
    "bad UTF-8": b"policies:\n  - name: \xff\xfe\n",
    "an alias bomb": b"a: &a [x, x, x, x, x, x, x, x, x]\n"
    + b"".join(b"%c: &%c [%s]\n" % (c, c, b", ".join([b"*%c" % (c - 1)] * 9)) for c in range(ord("b"), ord("k"))),
    "a Python object": b"policies: !!python/object/apply:os.system ['touch /tmp/imageferry-owned']\n",
    "a NUL": b"policies: \x00\n",
    "nothing": b"",
    "a list": b"- a\n- b\n",
    "an open quote": b'policies: "p\n',
}


@pytest.mark.parametrize("what", NOT_YAML)
def test_a_policy_file_that_is_no_policy_file_gets_a_line_and_a_column(what: str, tmp_path: Path) -> None:
    result = check(write(tmp_path, policy=NOT_YAML[what]))
    assert (result.exit_code, {name for name, _ in complained(result)}) == (2, {"p.yaml"})


@pytest.mark.parametrize("what", NOT_YAML)
def test_a_config_that_is_no_config_gets_a_line_and_a_column(what: str, tmp_path: Path) -> None:
    result = check(write(tmp_path, config=NOT_YAML[what]))
    assert (result.exit_code, {name for name, _ in complained(result)}) == (2, {"imageferry.yaml"})


def test_a_tag_of_python_runs_nothing(tmp_path: Path) -> None:
    owned = tmp_path / "owned"
    check(write(tmp_path, policy=f"policies: !!python/object/apply:os.mkdir ['{owned}']\n"))
    assert not owned.exists()


def test_a_config_that_is_not_there_is_told_as_a_bad_file(tmp_path: Path) -> None:
    result = check(tmp_path / "nowhere.yaml")
    assert (result.exit_code, "nowhere.yaml:1:1: the file cannot be read" in result.stderr) == (2, True)


def test_without_any_config_the_usual_places_are_named(tmp_path: Path) -> None:
    done = run("check", cwd=tmp_path)
    assert (done.returncode, "--config or IMAGEFERRY_CONFIG" in done.stderr) == (2, True)


def test_the_environment_may_name_the_config(tmp_path: Path) -> None:
    result = invoke("check", env={"IMAGEFERRY_CONFIG": str(write(tmp_path))})
    assert result.exit_code == 0


def test_the_policies_shown_are_those_beside_the_config(tmp_path: Path) -> None:
    config = write(tmp_path, policy=POLICY.replace("archive\n", "another\n"))
    assert check(config).stdout.endswith("1 policy: another\n")
