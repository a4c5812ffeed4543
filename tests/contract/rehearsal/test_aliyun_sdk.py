"""The vendor's own SDKs as clients of the Alibaba Cloud rehearsal, over real HTTP."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import alibabacloud_oss_v2 as oss
import pytest
from alibabacloud_ecs20140526 import models
from alibabacloud_ecs20140526.client import Client
from alibabacloud_oss_v2.credentials import StaticCredentialsProvider
from alibabacloud_oss_v2.exceptions import OperationError, ServiceError
from alibabacloud_tea_openapi.client import Client as AnyClient
from alibabacloud_tea_openapi.exceptions import AlibabaCloudException, ThrottlingException
from alibabacloud_tea_openapi.models import Config, OpenApiRequest, Params
from darabonba.exceptions import UnretryableException
from darabonba.runtime import RuntimeOptions

from imageferry.rehearsal.aliyun import AliyunRehearsal
from imageferry.rehearsal.misbehaviour import Misbehaviour
from imageferry.rehearsal.options import REHEARSAL_KEY
from support.aliyun_rehearsals import BUCKET, OTHER_REGION, REGION, STS, aliyun, image
from support.clocks import FakeClock
from support.rehearsals import served

Asking = Callable[[Client], Any]


class Scene(NamedTuple):
    rehearsal: AliyunRehearsal
    clock: FakeClock
    address: str

    def config(self, **key: Any) -> Config:
        given = {
            "access_key_id": REHEARSAL_KEY.secret_id,
            "access_key_secret": REHEARSAL_KEY.secret_key,
            "endpoint": self.address,
            "protocol": "http",
            "region_id": REGION,
            **key,
        }
        return Config(**given)

    async def ask(self, asking: Asking, **key: Any) -> dict[str, Any]:
        """What one call of the SDK answers, as JSON."""
        client = Client(self.config(**key))
        told: dict[str, Any] = (await asyncio.to_thread(asking, client)).body.to_map()
        return told

    async def sts(self, action: str, query: dict[str, str] | None = None, **key: Any) -> dict[str, Any]:
        """One call of STS by the SDK's general client."""
        params = Params(
            action=action,
            version=STS,
            protocol="HTTP",
            pathname="/",
            method="POST",
            auth_type="AK",
            style="RPC",
            req_body_type="formData",
            body_type="json",
        )
        client = AnyClient(self.config(**key))
        request = OpenApiRequest(query=query or {})
        told: dict[str, Any] = await asyncio.to_thread(client.call_api, params, request, RuntimeOptions())
        return told["body"]

    async def head(self, key: str, bucket: str = BUCKET, **pair: str) -> oss.HeadObjectResult:
        """HEAD of an object by the storage's SDK."""
        config = oss.config.load_default()
        config.credentials_provider = StaticCredentialsProvider(
            pair.get("id", REHEARSAL_KEY.secret_id), pair.get("secret", REHEARSAL_KEY.secret_key), pair.get("token")
        )
        config.region = pair.get("region", REGION)
        config.endpoint = f"http://{self.address}"
        config.use_path_style = True
        config.retry_max_attempts = 1
        return await asyncio.to_thread(oss.Client(config).head_object, oss.HeadObjectRequest(bucket=bucket, key=key))


@asynccontextmanager
async def scene(**options: Any) -> AsyncIterator[Scene]:
    # The SDK takes the time from the machine, so the rehearsal's clock starts there too; it moves by hand.
    clock = FakeClock(time.time_ns() // 1000)
    rehearsal = aliyun(clock, **options)
    async with served(rehearsal) as url:
        yield Scene(rehearsal, clock, url.removeprefix("http://"))


def list_of(region: str = REGION, **fields: Any) -> Asking:
    return lambda client: client.describe_images(models.DescribeImagesRequest(region_id=region, **fields))


def export_of(image_id: str, **fields: Any) -> Asking:
    asked = {"region_id": REGION, "image_id": image_id, "ossbucket": BUCKET, **fields}
    return lambda client: client.export_image(models.ExportImageRequest(**asked))


def copy_of(image_id: str, **fields: Any) -> Asking:
    asked = {"region_id": REGION, "image_id": image_id, "destination_region_id": OTHER_REGION, **fields}
    return lambda client: client.copy_image(models.CopyImageRequest(**asked))


def task_of(task_id: str) -> Asking:
    asked = models.DescribeTaskAttributeRequest(region_id=REGION, task_id=task_id)
    return lambda client: client.describe_task_attribute(asked)


def tasks_of(**fields: Any) -> Asking:
    return lambda client: client.describe_tasks(models.DescribeTasksRequest(region_id=REGION, **fields))


async def test_describe_images_reads_images_by_filters_and_by_ids() -> None:
    async with scene() as on:
        image_id = image(on.rehearsal, name="网站 +1*~", size_gib=50, tags={"env": "prod"})
        image(on.rehearsal, name="other")
        tag = models.DescribeImagesRequestTag(key="env", value="prod")
        by_name = await on.ask(list_of(image_name="网站 +1*~", image_owner_alias="self", page_size=100))
        by_tag = await on.ask(list_of(tag=[tag], status="Creating,Available"))
        by_ids = await on.ask(list_of(image_id=f"{image_id},m-none"))
    assert [each["ImageId"] for each in by_name["Images"]["Image"]] == [image_id]
    assert by_ids["Images"] == by_tag["Images"] == by_name["Images"]
    assert (by_ids["TotalCount"], by_ids["Images"]["Image"][0]["Size"]) == (1, 50)
    assert by_name["RequestId"] == on.rehearsal.requests.last[0].request_id


async def test_export_image_starts_a_task_that_is_followed_to_its_end() -> None:
    async with scene(export_seconds=60, format_regions=[REGION]) as on:
        image_id = image(on.rehearsal, data_disks_gib=(5,))
        started = await on.ask(export_of(image_id, ossprefix="p1", image_format="qcow2"))
        seen = []
        for wait in (0, 30, 30):
            on.clock.jump(wait)
            listed = await on.ask(tasks_of(task_ids=started["TaskId"], task_action="ExportImage", page_size=100))
            told = await on.ask(task_of(started["TaskId"]))
            seen.append((listed["TaskSet"]["Task"][0]["TaskStatus"], told["TaskProcess"]))
    assert seen == [("Processing", "0%"), ("Processing", "50%"), ("Finished", "100%")]
    items = [each["RelatedItemSet"]["RelatedItem"] for each in told["OperationProgressSet"]["OperationProgress"]]
    assert [item["Value"] for group in items for item in group if item["Name"] == "OSSObject"] == [
        f"p1_{image_id}_system.qcow2",
        f"p1_{image_id}_data_xvdb.qcow2",
    ]


async def test_copy_image_makes_a_copy_that_becomes_available_and_is_made_once_for_a_token() -> None:
    async with scene() as on:
        image_id = image(on.rehearsal)
        tags = [models.CopyImageRequestTag(key="job", value="1"), models.CopyImageRequestTag(key="none", value="")]
        asked = copy_of(
            image_id,
            destination_image_name="web-copy",
            destination_description="d +*~",
            client_token="t1",
            encrypted=True,
            tag=tags,
        )
        made = [(await on.ask(asked))["ImageId"] for _ in range(2)]
        seen = []
        for wait in (0, 3):
            on.clock.jump(wait)
            answer = await on.ask(list_of(OTHER_REGION, image_id=made[0], status="Creating,Available"))
            (shown,) = answer["Images"]["Image"]
            seen.append((shown["ImageName"], shown["Status"]))
    assert (len(set(made)), seen) == (1, [("web-copy", "Creating"), ("web-copy", "Available")])
    assert shown["Tags"]["Tag"] == [{"TagKey": "job", "TagValue": "1"}, {"TagKey": "none", "TagValue": ""}]


@pytest.mark.parametrize(
    ("facts", "http", "code"),
    [
        ({"platform": "Windows"}, 403, "InvalidImageLicense.NotSupported"),
        ({"image_type": "SHARED_IMAGE"}, 403, "ImageNotSupported"),
        ({"ready_seconds": 5}, 400, "IncorrectImageStatus"),
    ],
)
@pytest.mark.parametrize("shape", ["usual", "lower_case"])
async def test_a_refused_export_has_the_vendors_code_and_status(
    facts: dict[str, Any], http: int, code: str, shape: str
) -> None:
    async with scene(error_shape=shape) as on:
        with pytest.raises(AlibabaCloudException) as caught:
            await on.ask(export_of(image(on.rehearsal, **facts)))
        request_id = on.rehearsal.requests.last[-1].request_id
    assert (caught.value.status_code, caught.value.code, caught.value.request_id) == (http, code, request_id)


async def test_the_older_way_of_signing_is_let_in_too() -> None:
    async with scene(signatures=["rpc1"]) as on:
        image_id = image(on.rehearsal, name="网站 +1*~")
        told = await on.ask(list_of(image_name="网站 +1*~"), signature_algorithm="v2")
        with pytest.raises(AlibabaCloudException) as caught:
            await on.ask(list_of())
    assert [each["ImageId"] for each in told["Images"]["Image"]] == [image_id]
    assert caught.value.code == "IncompleteSignature"


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ({"access_key_secret": "not-the-secret"}, "SignatureDoesNotMatch"),
        ({"access_key_id": "nobody"}, "InvalidAccessKeyId.NotFound"),
        ({"security_token": "stray"}, "InvalidSecurityToken.MismatchWithAccessKey"),
    ],
)
@pytest.mark.parametrize("way", [None, "v2"])
async def test_a_wrong_key_is_refused(key: dict[str, str], code: str, way: str | None) -> None:
    async with scene() as on:
        with pytest.raises(AlibabaCloudException) as caught:
            await on.ask(list_of(), signature_algorithm=way, **key)
    assert caught.value.code == code


async def test_an_assumed_role_gives_a_key_that_is_let_in_everywhere() -> None:
    async with scene(account_id="42") as on:
        role = "acs:ram::1000000000000001:role/imageferry"
        given = (await on.sts("AssumeRole", {"RoleArn": role, "RoleSessionName": "one"}))["Credentials"]
        key = {
            "access_key_id": given["AccessKeyId"],
            "access_key_secret": given["AccessKeySecret"],
            "security_token": given["SecurityToken"],
        }
        who = await on.sts("GetCallerIdentity", **key)
        told = await on.ask(list_of(), **key)
        with pytest.raises(OperationError) as caught:
            await on.head(
                "none", id=given["AccessKeyId"], secret=given["AccessKeySecret"], token=given["SecurityToken"]
            )
    assert (who["AccountId"], who["IdentityType"], told["TotalCount"]) == ("42", "AssumedRoleUser", 0)
    assert _storage_error(caught.value).code == "NoSuchKey"


async def test_the_request_that_is_one_too_many_is_throttled_with_its_wait() -> None:
    async with scene(requests_a_second=1, retry_after_ms=1500) as on:
        await on.ask(list_of())
        with pytest.raises(ThrottlingException) as caught:
            await on.ask(list_of())
    assert (caught.value.code, caught.value.retry_after) == ("Throttling.User", 1500)


@pytest.mark.parametrize("fault", [{"fault": "status", "status": 502}, {"fault": "garbage"}, {"fault": "drop"}])
async def test_faults_before_the_api_are_no_answers_to_the_sdk(fault: dict[str, Any]) -> None:
    async with scene() as on:
        on.rehearsal.misbehave(Misbehaviour(**fault))
        with pytest.raises((AlibabaCloudException, UnretryableException, ValueError)):
            await on.ask(list_of())


# --- storage -------------------------------------------------------------------------------------------------------


async def test_an_exported_object_is_found_by_the_storages_sdk() -> None:
    async with scene() as on:
        image_id = image(on.rehearsal, size_gib=3)
        await on.ask(export_of(image_id, ossprefix="p1"))
        on.clock.jump(2)
        found = await on.head(f"p1_{image_id}_system.raw.tar.gz")
    assert (found.status_code, found.content_length, found.object_type) == (200, 1 << 30, "Multipart")
    assert (found.storage_class, found.hash_crc64 is not None) == ("Standard", True)


@pytest.mark.parametrize(
    ("asked", "http", "code", "detail"),
    [
        ({"key": "none"}, 404, "NoSuchKey", "0026-00000001"),
        ({"key": "目录/a b*~+.raw"}, 404, "NoSuchKey", "0026-00000001"),
        ({"key": "none", "bucket": "missing-one"}, 404, "NoSuchBucket", "0015-00000101"),
        ({"key": "none", "region": OTHER_REGION}, 400, "InvalidArgument", "0002-00000226"),
    ],
)
async def test_a_storage_error_has_the_vendors_code_and_detail(
    asked: dict[str, str], http: int, code: str, detail: str
) -> None:
    async with scene() as on:
        with pytest.raises(OperationError) as caught:
            await on.head(**asked)
    error = _storage_error(caught.value)
    assert (error.status_code, error.code, error.ec) == (http, code, detail)


@pytest.mark.parametrize(
    ("pair", "code"),
    [
        ({"secret": "wrong"}, "SignatureDoesNotMatch"),
        ({"id": "nobody"}, "InvalidAccessKeyId"),
        ({"token": "stray"}, "InvalidSecurityToken"),
    ],
)
async def test_a_wrong_storage_key_is_refused(pair: dict[str, str], code: str) -> None:
    async with scene() as on:
        with pytest.raises(OperationError) as caught:
            await on.head("none", **pair)
    assert _storage_error(caught.value).code == code


def _storage_error(error: OperationError) -> ServiceError:
    found = error.unwrap()
    assert isinstance(found, ServiceError)
    return found
