"""Every example and every command of README.md and docs/ is what it says."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import click
import pytest
import yaml
from pydantic import TypeAdapter

from imageferry.cli.main import COMMANDS, main
from imageferry.clouds.facts import FACTS
from imageferry.clouds.registry import READERS
from imageferry.core.completion import completion
from imageferry.core.image import Place
from imageferry.core.job import Job, job_id, job_key, unique_part
from imageferry.core.times import parse_rfc3339
from imageferry.policies import load as load_policies
from imageferry.ports import Sighting
from imageferry.rehearsal.misbehaviour import Misbehaviour
from imageferry.rehearsal.options import options_from_json
from imageferry.rehearsal.store import NewImage
from imageferry.settings import load
from imageferry.sources.cloudevents import Codec, Told
from imageferry.sources.facts import claimed
from imageferry.sources.mapping import Mapper, MappingSpec
from imageferry.telemetry.clock import SystemClock
from imageferry.telemetry.metrics import Metrics
from support.aliyun_rehearsals import aliyun
from support.commands import run, started
from support.daemons import account
from support.huawei_rehearsals import huawei
from support.jdcloud_rehearsals import jdcloud
from support.markdown import PAGES, Block, blocks, console, inline, links, prose, text_of
from support.programs import ROOT
from support.rehearsals import served, tencent

STORY = ("imageferry.yaml", "policies/archive.yaml", "events.ndjson")
"""The files that the README has its reader write."""
FIRST_TEST = "policies/archive.test.yaml"
EVERY_KEY = "every-key.test.yaml"


def write_story(folder: Path) -> None:
    for title in STORY:
        [block] = [b for language in ("yaml", "json") for b in blocks(language, title, pages=["README.md"])]
        path = folder / title
        path.parent.mkdir(exist_ok=True)
        path.write_text(block.text, encoding="utf-8")


def yaml_blocks(key: str) -> list[Block]:
    """The YAML blocks with a list under ``key``."""
    return [block for block in blocks("yaml") if isinstance(yaml.safe_load(block.text).get(key), list)]


def said_of(told: list[Any]) -> Told:
    [one] = told
    assert isinstance(one, Told), one
    return one


# --- the two minutes -----------------------------------------------------------------------------------------------


def test_the_readers_first_commands_do_what_the_readme_shows(tmp_path: Path) -> None:
    write_story(tmp_path)
    [block] = blocks("console", "", pages=["README.md"])
    commands = dict(console(block))
    assert list(commands) == [
        "imageferry check",
        "imageferry plan events.ndjson",
        "imageferry run --until-idle",
        "imageferry jobs list",
    ]
    for command in ("imageferry check", "imageferry plan events.ndjson"):
        done = run(*shlex.split(command)[1:], cwd=tmp_path, PWD=str(tmp_path))
        assert (done.stdout, done.stderr, done.returncode) == (commands[command], "", 0)


async def test_the_readers_first_run_archives_the_image(tmp_path: Path) -> None:
    write_story(tmp_path)
    bucket = "archive-ap-guangzhou-1250000000"
    rehearsal = tencent(SystemClock(), buckets={bucket: "ap-guangzhou"}, export_seconds=0.2)
    rehearsal.add_image(NewImage(region="ap-guangzhou", image_id="img-web00001", name="prod-web-01"))
    config = yaml.safe_load((tmp_path / "imageferry.yaml").read_text())
    async with served(rehearsal) as url:
        config["accounts"]["prod"] = {**account(url), "regions": config["accounts"]["prod"]["regions"]}
        config["ops"] = {"listen": "127.0.0.1:0"}
        (tmp_path / "imageferry.yaml").write_text(yaml.safe_dump(config))
        done = await run_aside("run", "--until-idle", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    [event] = [json.loads(line) for line in (tmp_path / "completions.ndjson").read_text().splitlines()]
    assert (event["type"], event["data"]["destination"]) == ("io.imageferry.job.succeeded", bucket)
    listed = run("jobs", "list", cwd=tmp_path, PWD=str(tmp_path)).stdout
    assert "succeeded" in listed.splitlines()[1]


async def run_aside(*arguments: str, cwd: Path) -> Any:
    """In a thread, while the rehearsal is served in this one."""
    return await anyio.to_thread.run_sync(lambda: run(*arguments, cwd=cwd, PWD=str(cwd)))


def test_the_readers_first_test_of_a_policy_says_what_the_readme_shows(tmp_path: Path) -> None:
    write_story(tmp_path)
    [test], [shown] = blocks("yaml", FIRST_TEST), blocks("console", "test")
    (tmp_path / FIRST_TEST).write_text(test.text, encoding="utf-8")
    [(command, output)] = console(shown)
    done = run(*shlex.split(command)[1:], cwd=tmp_path)
    assert (done.stdout, done.stderr, done.returncode) == (output, "", 0)


def test_the_library_is_tested_as_the_readme_says() -> None:
    assert "imageferry test policies/" in inline("README.md")
    done = run("test", "policies/", cwd=ROOT)
    assert (done.stderr, done.returncode, "failed: 0" in done.stdout) == ("", 0, True)


# --- every example -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", yaml_blocks("policies"), ids=lambda block: f"{block.page}:{block.title or 'block'}")
def test_every_policy_shown_is_one(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "policies.yaml"
    file.write_text(block.text, encoding="utf-8")
    assert len(load_policies(file, FACTS).names) >= 1


def test_the_tests_shown_pass_before_the_policies_shown(tmp_path: Path) -> None:
    [tests] = blocks("yaml", EVERY_KEY)
    for number, block in enumerate(blocks("yaml", "", pages=["docs/policies.md"])):
        (tmp_path / f"{number}.yaml").write_text(block.text, encoding="utf-8")
    (tmp_path / EVERY_KEY).write_text(tests.text, encoding="utf-8")
    done = run("test", ".", cwd=tmp_path)
    assert (done.stderr, done.returncode) == ("", 0), done.stdout


@pytest.mark.parametrize("block", yaml_blocks("sources"), ids=lambda block: f"{block.page}:{block.title or 'block'}")
def test_every_piece_of_config_shown_is_one(block: Block, tmp_path: Path) -> None:
    [whole] = blocks("yaml", "imageferry.yaml")
    config = {**yaml.safe_load(whole.text), **yaml.safe_load(block.text)}
    file = tmp_path / "imageferry.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    settings = load(file, {"PWD": str(tmp_path), "KAFKA_PASSWORD": "made-up", "WEBHOOK_SECRET": "made-up"})
    assert [source.type for source in settings.sources] == [one["type"] for one in config["sources"]]


@pytest.mark.parametrize("block", blocks("json", "event-in"), ids=lambda block: block.page)
def test_every_event_in_is_read_whole(block: Block) -> None:
    told = said_of(Codec(READERS).told(block.text.encode(), "docs"))
    data = json.loads(block.text)["data"]
    assert told.sighting.image_id == data["image_id"]
    _, doubtful = claimed(Place("tencent", "prod", "ap-guangzhou"), "img-web00001", told.facts)
    assert doubtful == []


@pytest.mark.parametrize("block", blocks("json", "data-in"), ids=lambda block: block.page)
def test_the_data_alone_is_enough_in_a_file(block: Block) -> None:
    [sighting] = Codec(READERS).read(block.text.strip().encode(), "docs", bare_source="file:docs")
    assert isinstance(sighting, Sighting)
    assert sighting.image_id == "img-web00001"


def test_the_message_of_a_pipeline_is_read_through_the_mapping_shown() -> None:
    [config], [message] = blocks("yaml", "mapping"), blocks("json", "mapped-in")
    [source] = yaml.safe_load(config.text)["sources"]
    mapper = Mapper(MappingSpec.model_validate(source["mapping"]))
    told = said_of(Codec(READERS, [mapper]).told(message.text.encode(), "docs", mapped_source="kafka:builds"))
    assert told.sighting == Sighting("kafka:builds", "4711", "tencent", "prod", "ap-guangzhou", "img-web00001")
    _, doubtful = claimed(Place("tencent", "prod", "ap-guangzhou"), "img-web00001", told.facts)
    assert (told.facts, doubtful) == ({"name": "prod-web-01", "tags": {"env": "prod"}}, [])


def test_the_completion_shown_is_written_so() -> None:
    [block] = blocks("json", "event-out")
    event = json.loads(block.text)
    job = job_of(event["data"])
    assert json.loads(completion(job)) == event
    assert job.key == job_key(job.place, job.image_id, job.action, job.destination)
    assert (job.id, unique_part(job.key) in job.object_keys[0]) == (job_id(job.key), True)


def job_of(data: Mapping[str, Any]) -> Job:
    """The job that a completion's data tells of."""
    times = {name: parse_rfc3339(data[name]) for name in ("created_at", "submitted_at", "ended_at")}
    job = Job(
        id=data["id"],
        key=data["key"],
        place=Place(data["cloud"], data["account"], data["region"]),
        image_id=data["image_id"],
        image_name=data["image_name"],
        action=data["action"],
        destination=data["destination"],
        options=data["options"],
        policies=tuple(data["policies"]),
        state=data["state"],
        reason=data["reason"],
        priority=0,
        version=1,
        due_at=0,
        give_up_at=0,
        **times,
    )
    return replace(
        job,
        klass=data["class"],
        attempt=data["attempt"],
        attempts=data["attempts"],
        task_ref=data["task_ref"],
        request_id=data["request_id"],
        object_keys=tuple(data["object_keys"]),
    )


def test_the_rehearsals_examples_are_taken() -> None:
    [images], [options], [faults] = (blocks("json", title) for title in ("images", "options", "misbehaviours"))
    assert len(TypeAdapter(list[NewImage]).validate_python(json.loads(images.text))) == 3
    assert options_from_json(json.loads(options.text)).exports_running == 2
    assert len(TypeAdapter(list[Misbehaviour]).validate_python(json.loads(faults.text))) == 3


def test_the_examples_of_jd_clouds_rehearsal_are_taken() -> None:
    [images], [options] = (blocks("json", title) for title in ("jdcloud-images", "jdcloud-options"))
    rehearsal = jdcloud(**json.loads(options.text))
    for each in TypeAdapter(list[NewImage]).validate_python(json.loads(images.text)):
        rehearsal.add_image(each)
    assert [image["imported"] for image in rehearsal.state(["images"])["images"]] == [False, True]
    assert rehearsal.world.options.image_quota == 20


def test_the_examples_of_alibaba_clouds_rehearsal_are_taken() -> None:
    [images], [options] = (blocks("json", title) for title in ("aliyun-images", "aliyun-options"))
    rehearsal = aliyun(**json.loads(options.text))
    for each in TypeAdapter(list[NewImage]).validate_python(json.loads(images.text)):
        rehearsal.add_image(each)
    assert [image["ProductCode"] for image in rehearsal.state(["images"])["images"]] == ["", "cmjj000001"]
    assert rehearsal.world.options.exports_a_week == 10


def test_the_examples_of_huawei_clouds_rehearsal_are_taken() -> None:
    [images], [options] = (blocks("json", title) for title in ("huawei-images", "huawei-options"))
    rehearsal = huawei(**json.loads(options.text))
    for each in TypeAdapter(list[NewImage]).validate_python(json.loads(images.text)):
        rehearsal.add_image(each)
    assert [image["name"] for image in rehearsal.state(["images"])["images"]] == ["bank-web", "bank-restored"]
    assert rehearsal.world.options.requests_a_second == 10


def test_the_rehearsal_is_started_as_its_page_says(tmp_path: Path) -> None:
    [block] = blocks("console", pages=["docs/rehearsal.md"])
    [(command, _)] = console(block)
    arguments = ["0" if each == "9010" else each for each in shlex.split(command)[1:]]
    with started(arguments, tmp_path) as rehearsal:
        rehearsal.until("To steer it")
        assert rehearsal.stop() == 0


def test_no_block_goes_unseen() -> None:
    known = {("yaml", ""), ("mermaid", ""), ("console", ""), *(("yaml", title) for title in STORY)}
    known |= {("json", title) for title in ("events.ndjson", "event-in", "event-out", "data-in")}
    known |= {("json", title) for title in ("images", "options", "misbehaviours", "jdcloud-images", "jdcloud-options")}
    known |= {("yaml", "mapping"), ("json", "mapped-in")}
    known |= {("json", title) for title in ("huawei-images", "huawei-options", "aliyun-images", "aliyun-options")}
    known |= {("yaml", FIRST_TEST), ("yaml", EVERY_KEY), ("console", "test")}
    fenced = {
        (language, title)
        for page in PAGES
        for language, title in re.findall(r"^```(\w+)(?: title=(\S+))?$", text_of(page), re.MULTILINE)
    }
    assert fenced - known == set()


# --- every name ----------------------------------------------------------------------------------------------------


def commands_of(page: str) -> Iterator[list[str]]:
    for block in blocks("console", pages=[page]):
        yield from (shlex.split(command) for command, _ in console(block))
    yield from (shlex.split(text) for text in inline(page) if text.startswith("imageferry "))


@pytest.mark.parametrize("page", PAGES)
def test_every_command_named_is_one(page: str) -> None:
    for words in commands_of(page):
        arguments = [word.strip("[]") for word in words[1:]]
        command: click.Command = main
        context = click.Context(main)
        while isinstance(command, click.Group) and arguments:
            name = arguments.pop(0)
            found = command.get_command(context, name)
            assert found is not None, f"{page} names {' '.join(words)}"
            command = found
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in arguments if word.startswith("--")} - options - {"--help"} == set(), words


def test_the_table_of_commands_is_whole() -> None:
    table = prose("README.md").partition("## Commands")[2].partition("## What is promised")[0]
    assert set(re.findall(r"^\| `imageferry ([\w-]+)", table, re.MULTILINE)) == set(COMMANDS)


@pytest.mark.parametrize("page", PAGES)
def test_every_metric_named_is_one(page: str) -> None:
    known = set(re.findall(r"`(imageferry_\w+)`", Metrics().table()))
    assert set(re.findall(r"imageferry_\w+", prose(page))) - known == set()


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    for target in links(page):
        path = target.partition("#")[0]
        assert ((ROOT / page).parent / path).exists(), f"{page} links to {target}"


@pytest.mark.parametrize("page", PAGES)
def test_every_make_target_named_is_one(page: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert (
        set(re.findall(r"\bmake (demo|test|quick|bench|venv|lock|\w+)$", text_of(page), re.MULTILINE)) - targets
        == set()
    )


def test_every_address_of_the_rehearsal_is_one() -> None:
    routes = {(method, path) for path, methods in _steering() for method in methods}
    shown = re.findall(r"^\| `(\w+) (/_rehearsal/[^`]*)` \|", prose("docs/rehearsal.md"), re.MULTILINE)
    assert len(shown) == 6
    assert {(method, path.replace("{key:path}", "{key}")) for method, path in shown} - routes == set()


def _steering() -> Iterator[tuple[str, set[str]]]:
    for mount in tencent().app.routes:
        for route in getattr(mount, "routes", None) or []:
            yield f"/_rehearsal{route.path}", set(route.methods)
