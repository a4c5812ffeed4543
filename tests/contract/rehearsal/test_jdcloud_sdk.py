"""The vendor's own SDK as a client of the JD Cloud rehearsal, over real HTTP."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
import requests
from jdcloud_sdk.core.config import Config
from jdcloud_sdk.core.credential import Credential
from jdcloud_sdk.core.logger import Logger
from jdcloud_sdk.services.disk.apis.DescribeQuotaRequest import DescribeQuotaParameters, DescribeQuotaRequest
from jdcloud_sdk.services.disk.apis.DescribeSnapshotRequest import DescribeSnapshotParameters, DescribeSnapshotRequest
from jdcloud_sdk.services.disk.client.DiskClient import DiskClient
from jdcloud_sdk.services.iam.apis.DescribeUserPinRequest import DescribeUserPinParameters, DescribeUserPinRequest
from jdcloud_sdk.services.iam.client.IamClient import IamClient
from jdcloud_sdk.services.sts.apis.AssumeRoleRequest import AssumeRoleParameters, AssumeRoleRequest
from jdcloud_sdk.services.sts.client.StsClient import StsClient
from jdcloud_sdk.services.sts.models.AssumeRoleInfo import AssumeRoleInfo
from jdcloud_sdk.services.vm.apis.DescribeImageRequest import DescribeImageParameters, DescribeImageRequest
from jdcloud_sdk.services.vm.apis.DescribeImagesRequest import DescribeImagesParameters, DescribeImagesRequest
from jdcloud_sdk.services.vm.apis.DescribeQuotasRequest import DescribeQuotasParameters, DescribeQuotasRequest
from jdcloud_sdk.services.vm.apis.ExportImageRequest import ExportImageParameters, ExportImageRequest
from jdcloud_sdk.services.vm.apis.ImageTasksRequest import ImageTasksParameters, ImageTasksRequest
from jdcloud_sdk.services.vm.client.VmClient import VmClient

from imageferry.rehearsal.jdcloud import JdcloudRehearsal
from imageferry.rehearsal.jdcloud_options import ROLE
from imageferry.rehearsal.misbehaviour import Misbehaviour
from imageferry.rehearsal.options import REHEARSAL_KEY
from support.clocks import FakeClock
from support.jdcloud_rehearsals import OTHER_REGION, REGION, SILENT, generation_2, image, jdcloud, oss_url
from support.jdcloud_sdk import CopyImagesParameters, CopyImagesRequest
from support.rehearsals import served

ROLE_JRN = "jrn:iam::000000000001:role/imageferry"


class Scene(NamedTuple):
    rehearsal: JdcloudRehearsal
    clock: FakeClock
    address: str

    async def send(self, request: Any, client: type = VmClient, **key: str) -> Any:
        pair = Credential(key.get("id", REHEARSAL_KEY.secret_id), key.get("key", REHEARSAL_KEY.secret_key))
        if "token" in key:
            request.header = {"x-jdcloud-security-token": key["token"]}
        asking = client(pair, Config(self.address, "http", 20), Logger(SILENT))
        return await asyncio.to_thread(asking.send, request)


@asynccontextmanager
async def scene(**options: Any) -> AsyncIterator[Scene]:
    # The SDK takes the time from the machine, so the rehearsal's clock starts there too; it moves by hand.
    clock = FakeClock(time.time_ns() // 1000)
    rehearsal = jdcloud(clock, **options)
    async with served(rehearsal) as url:
        yield Scene(rehearsal, clock, url.removeprefix("http://"))


def with_fields(parameters: Any, **fields: Any) -> Any:
    for name, value in fields.items():
        setattr(parameters, name, value)
    return parameters


def list_of(region: str = REGION, **fields: Any) -> DescribeImagesRequest:
    asked = {"imageSource": "private", **fields}
    return DescribeImagesRequest(with_fields(DescribeImagesParameters(region), **asked))


def export_of(image_id: str, **fields: Any) -> ExportImageRequest:
    return ExportImageRequest(with_fields(ExportImageParameters(REGION, image_id, ROLE, oss_url()), **fields))


def tasks_of(**fields: Any) -> ImageTasksRequest:
    return ImageTasksRequest(with_fields(ImageTasksParameters(REGION), **fields))


def refusal(answer: Any) -> tuple[int, str, str]:
    return answer.error.code, answer.error.status, answer.error.message


async def test_describe_images_reads_images_by_filters_and_by_ids() -> None:
    async with scene() as on:
        image_id = image(on.rehearsal, name="网站 +1", size_gib=50)
        image(on.rehearsal, name="other")
        by_name = await on.send(list_of(imageName="网站 +", status="ready", pageSize=100))
        by_ids = await on.send(list_of(imageSource=None, ids=[image_id, "img-none"]))
    assert (by_name.error, by_name.request_id) == (None, on.rehearsal.requests.last[0].request_id)
    assert [each["imageId"] for each in by_name.result["images"]] == [image_id]
    assert by_ids.result["images"] == by_name.result["images"]
    assert (by_ids.result["totalCount"], by_ids.result["images"][0]["systemDiskSizeGB"]) == (1, 50)


async def test_describe_image_reads_one_image() -> None:
    async with scene() as on:
        image_id = image(on.rehearsal)
        found = await on.send(DescribeImageRequest(DescribeImageParameters(REGION, image_id)))
        missing = await on.send(DescribeImageRequest(DescribeImageParameters(REGION, "img-none")))
    assert (found.result["image"]["imageId"], found.result["image"]["status"]) == (image_id, "ready")
    assert refusal(missing) == (404, "NOT_FOUND", "Image 'img-none' not found")


async def test_export_image_starts_a_task_that_image_tasks_follows_to_its_end() -> None:
    async with scene(export_seconds=60) as on:
        image_id = image(on.rehearsal, data_disks_gib=(5,))
        started = await on.send(export_of(image_id, ossPrefix="p1", clientToken="t1", isAllDisk=True))
        again = await on.send(export_of(image_id, ossPrefix="p1", clientToken="t1", isAllDisk=True))
        task_id = started.result["taskId"]
        seen = []
        for wait in (0, 30, 30):
            on.clock.jump(wait)
            answer = await on.send(tasks_of(taskAction="ExportImage", taskIds=[task_id], pageSize=10))
            seen.append(answer.result["taskSet"][0])
    assert (again.result, len(on.rehearsal.tasks)) == ({"taskId": task_id}, 1)
    assert [(each["taskStatus"], each["progress"]) for each in seen] == [
        ("pending", 0),
        ("running", 50),
        ("finished", 100),
    ]
    assert seen[-1]["ossObjects"] == [f"p1_exportImage_{image_id}", f"p1_exportImage_{image_id}_vdb"]


async def test_copy_images_makes_copies_that_become_ready_in_their_region() -> None:
    async with scene() as on:
        parameters = CopyImagesParameters(REGION, [image(on.rehearsal)], OTHER_REGION)
        made = await on.send(CopyImagesRequest(with_fields(parameters, name="web-copy", description="d")))
        copy_id = made.result["copyImages"][0]["destinationImageId"]
        seen = []
        for wait in (0, 3):
            on.clock.jump(wait)
            answer = await on.send(DescribeImageRequest(DescribeImageParameters(OTHER_REGION, copy_id)))
            seen.append((answer.result["image"]["name"], answer.result["image"]["status"]))
    assert seen == [("web-copy", "pending"), ("web-copy", "ready")]


@pytest.mark.parametrize(
    ("facts", "error"),
    [
        ({"platform": "Windows"}, (400, "FAILED_PRECONDITION", "Windows image can't export")),
        ({"image_type": "SHARED_IMAGE"}, (400, "FAILED_PRECONDITION", "Can't use this image")),
        ({"ready_seconds": 5}, (400, "FAILED_PRECONDITION", "Invalid image status 'pending'")),
    ],
)
async def test_a_refused_export_has_the_vendors_code_status_and_message(
    facts: dict[str, Any], error: tuple[int, str, str]
) -> None:
    async with scene() as on:
        answer = await on.send(export_of(image(on.rehearsal, **facts)))
    assert (refusal(answer), answer.result) == (error, None)
    assert answer.request_id == on.rehearsal.requests.last[-1].request_id


async def test_a_full_region_is_told_by_the_copy_and_by_both_quotas() -> None:
    async with scene(image_quota=1, snapshot_quota=2) as on:
        image(on.rehearsal, region=OTHER_REGION)
        answer = await on.send(CopyImagesRequest(CopyImagesParameters(REGION, [image(on.rehearsal)], OTHER_REGION)))
        filters = [{"name": "resourceTypes", "values": ["image"]}]
        images = await on.send(
            DescribeQuotasRequest(with_fields(DescribeQuotasParameters(OTHER_REGION), filters=filters))
        )
        disks = await on.send(DescribeQuotaRequest(DescribeQuotaParameters(OTHER_REGION, "snapshot")), DiskClient)
    assert refusal(answer) == (429, "QUOTA_EXCEEDED", "Image quota limit exceeded")
    assert images.result == {"quotas": [{"resourceType": "image", "limit": 1, "used": 1}]}
    assert disks.result == {"quota": {"limit": 2, "used": 1}}


async def test_a_snapshot_tells_whether_it_is_encrypted() -> None:
    async with scene() as on:
        image(on.rehearsal, encrypted=True)
        (shown,) = (await on.send(list_of())).result["images"]
        asked = DescribeSnapshotRequest(DescribeSnapshotParameters(REGION, shown["snapshotId"]))
        answer = await on.send(asked, DiskClient)
    assert answer.result["snapshot"]["encrypted"] is True


async def test_whose_key_it_is_is_told() -> None:
    async with scene(account_id="pin-1") as on:
        parameters = with_fields(DescribeUserPinParameters(REGION), accessKey=REHEARSAL_KEY.secret_id)
        answer = await on.send(DescribeUserPinRequest(parameters), IamClient)
    assert answer.result == {"pin": "pin-1"}


async def test_an_assumed_role_gives_a_key_that_is_let_in_with_its_token_alone() -> None:
    async with scene() as on:
        asked = AssumeRoleRequest(AssumeRoleParameters(AssumeRoleInfo(ROLE_JRN, "session")))
        told = (await on.send(asked, StsClient)).result["credentials"]
        pair = {"id": told["accessKey"], "key": told["secretKey"]}
        with_token = await on.send(list_of(), **pair, token=told["sessionToken"])
        without = await on.send(list_of(), **pair)
    assert with_token.result["totalCount"] == 0
    assert refusal(without) == (401, "ACCESS_ERROR", "security token is missing, or is not this key's [gw]")


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ({"key": "not-the-secret"}, "sign result is not same [gw]"),
        ({"id": "nobody"}, "access key is not exist [gw]"),
        ({"token": "stray"}, "security token is missing, or is not this key's [gw]"),
    ],
)
async def test_a_wrong_key_is_refused(key: dict[str, str], message: str) -> None:
    async with scene() as on:
        answer = await on.send(list_of(), **key)
    assert refusal(answer) == (401, "ACCESS_ERROR", message)


async def test_the_older_generation_of_signatures_is_let_in_too() -> None:
    async with scene(algorithms=["JDCLOUD2"]) as on:
        newer = await on.send(list_of())
        with generation_2():
            older = await on.send(list_of())
    assert refusal(newer) == (401, "ACCESS_ERROR", "authorization is not of a known form [gw]")
    assert older.result["totalCount"] == 0


async def test_a_clock_that_is_off_is_refused() -> None:
    async with scene(clock_skew_seconds=1800) as on:
        answer = await on.send(list_of())
    assert refusal(answer)[:2] == (401, "ACCESS_ERROR")


async def test_the_request_that_is_one_too_many_is_throttled() -> None:
    async with scene(rates={"describeImages": 1}) as on:
        await on.send(list_of())
        answer = await on.send(list_of())
    assert refusal(answer)[:2] == (429, "RATE_LIMIT")


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"fault": "status", "status": 502}, ValueError),
        ({"fault": "garbage"}, ValueError),
        ({"fault": "drop"}, requests.exceptions.ConnectionError),
    ],
)
async def test_faults_before_the_api_are_no_answers_to_the_sdk(fault: dict[str, Any], error: type[Exception]) -> None:
    async with scene() as on:
        on.rehearsal.misbehave(Misbehaviour(**fault))
        with pytest.raises(error):
            await on.send(list_of())
