"""``check --online`` as a person tries it, against every cloud's rehearsal."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from imageferry.cli.scenes import SCENES
from imageferry.cli.stage import House, Stage, staged, write_house
from imageferry.rehearsal.misbehaviour import Misbehaviour
from imageferry.rehearsal.options import REHEARSAL_KEY
from imageferry.rehearsal.store import NewImage
from imageferry.telemetry.clock import SystemClock
from support.commands import run

CLOUDS = sorted(SCENES)
ABSENT = {"tencent": "absent-1250000000"}
EXPORTS: Mapping[str, Mapping[str, Any]] = {"jdcloud": {"role": "ImageExportRole"}}


@asynccontextmanager
async def opened(cloud: str, folder: Path) -> AsyncIterator[tuple[Stage, House]]:
    """A cloud's scene being served, and a folder with the config for it."""
    async with staged(SCENES[cloud], SystemClock(), random.Random(7)) as stage:
        house = House(folder)
        write_house(house, [stage])
        yield stage, house


async def checked(house: House) -> subprocess.CompletedProcess[str]:
    """The command's own process; the rehearsal goes on serving in this one."""
    done = await anyio.to_thread.run_sync(lambda: run("check", "--online", "--config", house.config, cwd=house.folder))
    assert "Traceback" not in done.stderr
    assert REHEARSAL_KEY.secret_key not in done.stdout + done.stderr
    return done


def policy(cloud: str, **actions: Any) -> str:
    """A policy file of one policy, as JSON, which YAML reads."""
    listed = [{kind: given} for kind, given in actions.items()]
    return json.dumps({"policies": [{"name": "tried", "match": {"cloud": cloud}, "actions": listed}]})


@pytest.mark.parametrize("cloud", CLOUDS)
async def test_what_is_fine_is_said_of_every_account_region_quota_and_bucket(cloud: str, tmp_path: Path) -> None:
    async with opened(cloud, tmp_path) as (stage, house):
        home = stage.scene.parts[0].image.region
        bucket = next(name for name, region in stage.scene.options.buckets.items() if region == home)
        export = {"bucket": {home: bucket}, **EXPORTS.get(cloud, {})}
        (house.policies / f"{cloud}.yaml").write_text(policy(cloud, export=export))
        done = await checked(house)
        started = stage.rehearsal.state(["tasks"])["tasks"]
    lines = [line.split() for line in done.stdout.splitlines()[2:]]
    outcomes = {" ".join(line[1:3]).rstrip(":"): line[0] for line in lines}
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout.splitlines()[1] == f"rehearsal-{cloud} ({cloud})"
    assert stage.scene.options.account_id in done.stdout
    for region in stage.scene.regions:
        assert outcomes[f"{region}: images"] == "ok"
    assert f"ok       {home}: bucket {bucket} (tried): is there" in done.stdout
    assert started == []


@pytest.mark.parametrize("cloud", CLOUDS)
async def test_a_bucket_that_is_not_there_fails(cloud: str, tmp_path: Path) -> None:
    async with opened(cloud, tmp_path) as (_, house):
        bucket = ABSENT.get(cloud, "absent")
        (house.policies / f"{cloud}.yaml").write_text(
            policy(cloud, export={"bucket": bucket, **EXPORTS.get(cloud, {})})
        )
        done = await checked(house)
    assert done.returncode == 1
    assert f"bucket {bucket} (tried): there is no such bucket in " in done.stdout


@pytest.mark.parametrize("cloud", CLOUDS)
async def test_a_bucket_that_may_not_be_looked_at_fails_with_the_reason(cloud: str, tmp_path: Path) -> None:
    async with opened(cloud, tmp_path) as (stage, house):
        stage.rehearsal.change({"unreadable_buckets": list(stage.scene.options.buckets)})
        done = await checked(house)
    assert done.returncode == 1
    assert "the storage answered HTTP 403" in done.stdout


@pytest.mark.parametrize("cloud", CLOUDS)
async def test_wrong_keys_are_told_once_and_nothing_else_is_asked(cloud: str, tmp_path: Path) -> None:
    async with opened(cloud, tmp_path) as (stage, house):
        text = house.config.read_text()
        house.config.write_text(text.replace(REHEARSAL_KEY.secret_key, "not-the-key"))
        done = await checked(house)
        asked = stage.rehearsal.state(["requests"])["requests"]["total"]
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert len(lines) == 3, done.stdout
    assert lines[2].startswith("  failed   keys: ")
    assert asked <= 3
    assert "not-the-key" not in done.stdout + done.stderr


async def test_keys_of_another_account_than_the_config_says_fail(tmp_path: Path) -> None:
    async with opened("tencent", tmp_path) as (stage, house):
        text = house.config.read_text()
        house.config.write_text(text.replace(stage.scene.options.account_id, "100000000099"))
        done = await checked(house)
    assert done.returncode == 1
    assert "they belong to account 100000000001" in done.stdout
    assert "the config says account_id 100000000099" in done.stdout


@pytest.mark.parametrize("cloud", CLOUDS)
async def test_what_only_an_image_tells_is_unknown_and_no_failure(cloud: str, tmp_path: Path) -> None:
    async with opened(cloud, tmp_path) as (_, house):
        export = {"bucket": "of-{image.id}-1250000000", **EXPORTS.get(cloud, {})}
        (house.policies / f"{cloud}.yaml").write_text(policy(cloud, export=export))
        done = await checked(house)
    assert done.returncode == 0, done.stdout
    assert 'bucket "of-{image.id}-1250000000" (tried): its name depends on the image' in done.stdout


async def test_a_region_of_a_copy_that_the_account_does_not_list_fails(tmp_path: Path) -> None:
    async with opened("tencent", tmp_path) as (_, house):
        (house.policies / "tencent.yaml").write_text(policy("tencent", copy={"regions": ["ap-tokyo"]}))
        done = await checked(house)
    assert done.returncode == 1
    assert "copy to ap-tokyo (tried): the account does not list this region" in done.stdout


@pytest.mark.parametrize("cloud", CLOUDS)
async def test_images_that_cannot_be_read_fail_with_the_clouds_code(cloud: str, tmp_path: Path) -> None:
    reads = {
        "tencent": "DescribeImages",
        "huawei": "ListImages",
        "jdcloud": "describeImages",
        "aliyun": "DescribeImages",
    }
    async with opened(cloud, tmp_path) as (stage, house):
        stage.rehearsal.misbehave(Misbehaviour(fault="status", status=503, action=reads[cloud]))
        done = await checked(house)
    assert done.returncode == 1
    assert f"failed   {stage.scene.regions[0]}: images: " in done.stdout
    assert "503" in done.stdout


async def test_a_right_that_only_the_quota_wants_does_not_make_images_seem_closed(tmp_path: Path) -> None:
    async with opened("huawei", tmp_path) as (stage, house):
        regions = stage.scene.regions
        for number in range(250):
            stage.rehearsal.add_image(NewImage(region=regions[1], name=f"many-{number}"))
        stage.rehearsal.change({"denied": {"ShowImageQuota": "IMG.0030"}})
        done = await checked(house)
    assert done.returncode == 1
    assert "quota: IMG.0030" in done.stdout
    for region in regions:
        assert f"ok       {region}: images: can be read; " in done.stdout, done.stdout
