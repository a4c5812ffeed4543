from __future__ import annotations

import json
import signal
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from imageferry.cli.scenes import SCENES
from imageferry.rehearsal.options import REHEARSAL_KEY
from imageferry.rehearsal.registry import OPTIONS, REHEARSALS
from imageferry.settings import load
from support.commands import Started, invoke, started

ALONE = ("rehearse", "--cloud", "tencent", "--port", "0")
LAST_LINE = "/_rehearsal/options"


def introduced(rehearsal: Started) -> dict[str, Any]:
    """What it prints, read as the YAML that it is."""
    rehearsal.until(LAST_LINE)
    said: dict[str, Any] = yaml.safe_load(rehearsal.text)
    return said


def url_of(said: dict[str, Any]) -> str:
    return str(said["accounts"]["rehearsal-tencent"]["endpoint"])


def written(path: Path, data: object) -> Path:
    path.write_text(json.dumps(data))
    return path


def test_what_it_prints_is_the_account_for_the_config(tmp_path: Path) -> None:
    with started(ALONE, tmp_path) as rehearsal:
        said = introduced(rehearsal)
    config = tmp_path / "imageferry.yaml"
    config.write_text(yaml.safe_dump(said))
    [account] = load(config, {}).accounts
    keys = {"secret_id": REHEARSAL_KEY.secret_id, "secret_key": REHEARSAL_KEY.secret_key}
    assert (account.cloud, account.credentials.values) == ("tencent", keys)


@pytest.mark.parametrize(
    ("cloud", "words", "bucket"),
    [
        ("aliyun", ("access_key_id", "access_key_secret"), "media-cn-hangzhou (cn-hangzhou)"),
        ("huawei", ("ak", "sk"), "bank-cn-north-4 (cn-north-4)"),
        ("jdcloud", ("access_key", "secret_key"), "archive-cn-north-1 (cn-north-1)"),
    ],
)
def test_the_account_of_another_cloud_has_that_clouds_words(
    tmp_path: Path, cloud: str, words: tuple[str, str], bucket: str
) -> None:
    with started(("rehearse", "--cloud", cloud, "--port", "0"), tmp_path) as rehearsal:
        said = introduced(rehearsal)
    config = tmp_path / "imageferry.yaml"
    config.write_text(yaml.safe_dump(said))
    [account] = load(config, {}).accounts
    keys = dict(zip(words, (REHEARSAL_KEY.secret_id, REHEARSAL_KEY.secret_key), strict=True))
    assert (account.name, account.cloud, account.credentials.values) == (f"rehearsal-{cloud}", cloud, keys)
    assert f"# Buckets: {bucket}" in rehearsal.text
    [event] = [json.loads(line[2:]) for line in rehearsal.lines if line.startswith("# {")]
    assert (event["data"]["cloud"], event["data"]["image_id"]) == (cloud, SCENES[cloud].parts[0].image.image_id)


def test_each_cloud_reads_options_of_its_own(tmp_path: Path) -> None:
    options = written(tmp_path / "o.json", {"requests_a_minute": 60, "keys": [{"secret_id": "a", "secret_key": "b"}]})
    with started(["rehearse", "--cloud", "jdcloud", "--port", "0", "--options", options], tmp_path) as rehearsal:
        account = introduced(rehearsal)["accounts"]["rehearsal-jdcloud"]
    assert account["credentials"]["access_key"] == "a"
    refused = invoke(*ALONE, "--options", options)
    assert (refused.exit_code, "requests_a_minute" in refused.stderr) == (2, True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    with started(ALONE, tmp_path) as rehearsal:
        introduced(rehearsal)
        assert rehearsal.stop(number) == 0
    assert rehearsal.lines[-1] == "# the rehearsal has ended"


def test_it_has_images_and_buckets_of_its_own(tmp_path: Path) -> None:
    with started(ALONE, tmp_path) as rehearsal:
        state = httpx.get(f"{url_of(introduced(rehearsal))}/_rehearsal/state?parts=images").json()
    assert [image["ImageId"] for image in state["images"]] == [p.image.image_id for p in SCENES["tencent"].parts]
    assert "# Buckets: archive-ap-guangzhou-1250000000 (ap-guangzhou)" in rehearsal.text


def test_its_sample_event_is_about_an_image_that_it_has(tmp_path: Path) -> None:
    with started(ALONE, tmp_path) as rehearsal:
        introduced(rehearsal)
    [event] = [json.loads(line[2:]) for line in rehearsal.lines if line.startswith("# {")]
    assert event["data"]["image_id"] == SCENES["tencent"].parts[0].image.image_id


def test_it_takes_images_and_options_from_files(tmp_path: Path) -> None:
    key = {"secret_id": "AKIDmine", "secret_key": "mine"}
    options = written(tmp_path / "o.json", {"regions": ["ap-tokyo"], "keys": [key], "account_id": "42"})
    images = written(tmp_path / "i.json", [{"region": "ap-tokyo", "image_id": "img-mine0001"}])
    with started([*ALONE, "--options", options, "--images", images], tmp_path) as rehearsal:
        account = introduced(rehearsal)["accounts"]["rehearsal-tencent"]
    assert (account["regions"], account["account_id"], account["credentials"]["secret_id"]) == (
        ["ap-tokyo"],
        "42",
        "AKIDmine",
    )
    assert "# Image: img-mine0001 in ap-tokyo" in rehearsal.text


def test_an_unknown_cloud_is_told_which_there_are() -> None:
    result = invoke("rehearse", "--cloud", "nimbus", "--port", "0")
    assert result.exit_code == 2
    assert f"there is no rehearsal of nimbus; this version has: {', '.join(REHEARSALS)}" in result.stderr


def test_every_mistake_of_both_files_comes_with_its_place(tmp_path: Path) -> None:
    options, images = tmp_path / "o.json", tmp_path / "i.json"
    options.write_text('{\n\t"exports_runing": 1,\n\t"export_seconds": "long"}')
    images.write_text('[{"region": "ap-guangzhou"},\n {"name": "x"}]')
    result = invoke(*ALONE, "--options", options, "--images", images)
    places = [line.split(": ")[:2] for line in result.stderr.splitlines()]
    assert result.exit_code == 2
    assert places == [
        [f"{options}:2:2", "exports_runing"],
        [f"{options}:3:20", "export_seconds"],
        [f"{images}:2:2", "[1].region"],
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", ":1:2: not JSON"),
        (b"\xff", ":1:1: not JSON"),
        (b"[" * 200_000, ":1:1: not JSON"),
        (b"3", ":1:1: the file: "),
        (b'{"keys": []}', "keys"),
    ],
    ids=("cut", "bytes", "deep", "number", "keys"),
)
def test_a_file_that_cannot_be_used_is_a_bad_file(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "o.json"
    file.write_bytes(content)
    result = invoke(*ALONE, "--options", file)
    assert (result.exit_code, said in result.stderr) == (2, True)


def test_a_key_in_a_wrong_place_is_not_quoted(tmp_path: Path) -> None:
    file = written(tmp_path / "o.json", {"keys": [{"secret_id": "AKID", "secret_key": ["vErY-sEcReT"]}]})
    result = invoke(*ALONE, "--options", file)
    assert (result.exit_code, "vErY-sEcReT" in result.output) == (2, False)


def test_an_image_in_a_region_that_the_rehearsal_lacks_is_a_bad_file(tmp_path: Path) -> None:
    result = invoke(*ALONE, "--images", written(tmp_path / "i.json", [{"region": "mars-1"}]))
    assert (result.exit_code, "[0].region: 'mars-1' is not a region" in result.stderr) == (2, True)


def test_a_port_that_is_taken_is_told_without_a_traceback() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = invoke("rehearse", "--cloud", "tencent", "--port", str(taken.getsockname()[1]))
    assert (result.exit_code, "Address already in use; give another address" in result.stderr) == (1, True)


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_a_port_that_is_none_is_a_usage_error(port: str) -> None:
    assert invoke("rehearse", "--cloud", "tencent", "--port", port).exit_code == 2


def test_listening_beyond_this_machine_is_warned_of(tmp_path: Path) -> None:
    with started([*ALONE, "--host", "0.0.0.0"], tmp_path) as rehearsal:  # noqa: S104 - what the warning is about
        rehearsal.until("warning: whoever can reach this port can steer the rehearsal")


def test_there_is_a_scene_for_every_rehearsal() -> None:
    assert SCENES.keys() == REHEARSALS.keys() == OPTIONS.keys()


def test_no_image_stands_in_two_scenes() -> None:
    ids = [part.image.image_id for scene in SCENES.values() for part in scene.parts]
    names = [part.image.name for scene in SCENES.values() for part in scene.parts]
    assert (len(set(ids)), len(set(names))) == (len(ids), len(names))
