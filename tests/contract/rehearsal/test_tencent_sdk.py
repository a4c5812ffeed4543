"""The vendor's own SDK as a client of the Tencent rehearsal, over real HTTP."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.credential import Credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.cvm.v20170312 import models
from tencentcloud.cvm.v20170312.cvm_client import CvmClient

from imageferry.rehearsal.misbehaviour import Misbehaviour
from imageferry.rehearsal.options import REHEARSAL_KEY
from imageferry.rehearsal.tencent import TencentRehearsal
from support.clocks import FakeClock
from support.rehearsals import BUCKET, OTHER_REGION, REGION, image, served, tencent


class Scene(NamedTuple):
    rehearsal: TencentRehearsal
    clock: FakeClock
    address: str

    def client(self, region: str = REGION, **key: str) -> CvmClient:
        secret_id, secret_key = key.get("id", REHEARSAL_KEY.secret_id), key.get("key", REHEARSAL_KEY.secret_key)
        http = HttpProfile(protocol="http", endpoint=self.address, reqTimeout=20)
        return CvmClient(Credential(secret_id, secret_key, key.get("token")), region, ClientProfile(httpProfile=http))


@asynccontextmanager
async def scene(**options: Any) -> AsyncIterator[Scene]:
    # The SDK takes the time from the machine, so the rehearsal's clock starts there too; it moves by hand.
    clock = FakeClock(time.time_ns() // 1000)
    rehearsal = tencent(clock, **options)
    async with served(rehearsal) as url:
        yield Scene(rehearsal, clock, url.removeprefix("http://"))


def request(kind: type, **fields: Any) -> Any:
    made = kind()
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def export_of(image_id: str, **more: Any) -> Any:
    return request(models.ExportImagesRequest, ImageIds=[image_id], BucketName=BUCKET, **more)


async def refused(call: Callable[[Any], Any], asked: Any) -> TencentCloudSDKException:
    with pytest.raises(TencentCloudSDKException) as caught:
        await asyncio.to_thread(call, asked)
    return caught.value


async def test_describe_images_reads_images_with_disks_and_tags() -> None:
    async with scene() as on:
        image_id = image(on.rehearsal, name="web", size_gib=30, tags={"env": "prod"})
        image(on.rehearsal, name="other")
        wanted = request(models.Filter, Name="image-name", Values=["web"])
        answer = await asyncio.to_thread(
            on.client().DescribeImages, request(models.DescribeImagesRequest, Filters=[wanted], Limit=100)
        )
    (shown,) = answer.ImageSet
    assert (answer.TotalCount, shown.ImageId, shown.ImageState, shown.ImageSize) == (1, image_id, "NORMAL", 30)
    assert [(each.DiskUsage, each.DiskSize) for each in shown.SnapshotSet] == [("SYSTEM_DISK", 30)]
    assert [(each.Key, each.Value) for each in shown.Tags] == [("env", "prod")]


async def test_export_images_starts_a_task_and_names_its_paths() -> None:
    async with scene() as on:
        image_id = image(on.rehearsal)
        asked = export_of(image_id, ExportFormat="QCOW2", FileNamePrefixList=["p-1"], OnlyExportRootDisk=True)
        answer = await asyncio.to_thread(on.client().ExportImages, asked)
        (task,) = on.rehearsal.tasks
    assert (str(answer.TaskId), answer.RequestId) == (task.id, task.request_id)
    assert answer.CosPaths == [f"/{task.objects[0]}"]


async def test_an_image_that_is_exported_is_refused_with_the_vendors_code() -> None:
    async with scene() as on:
        image_id = image(on.rehearsal)
        await asyncio.to_thread(on.client().ExportImages, export_of(image_id))
        error = await refused(on.client().ExportImages, export_of(image_id, DryRun=True))
    assert error.get_code() == "InvalidParameterValue.InvalidImageState"
    assert error.get_request_id() == on.rehearsal.requests.last[-1].request_id


async def test_sync_images_makes_a_copy_that_becomes_normal_in_its_region() -> None:
    async with scene() as on:
        asked = request(
            models.SyncImagesRequest,
            ImageIds=[image(on.rehearsal)],
            DestinationRegions=[OTHER_REGION],
            ImageName="web-copy",
            ImageSetRequired=True,
        )
        (made,) = (await asyncio.to_thread(on.client().SyncImages, asked)).ImageSet
        look = request(models.DescribeImagesRequest, ImageIds=[made.ImageId])
        states = []
        for seconds in (0, 3):
            on.clock.jump(seconds)
            answer = await asyncio.to_thread(on.client(OTHER_REGION).DescribeImages, look)
            states.append((answer.ImageSet[0].ImageName, answer.ImageSet[0].ImageState))
    assert (made.Region, states) == (OTHER_REGION, [("web-copy", "SYNCING"), ("web-copy", "NORMAL")])


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ({"key": "not-the-secret"}, "AuthFailure.SignatureFailure"),
        ({"id": "AKIDnobody"}, "AuthFailure.SecretIdNotFound"),
        ({"token": "stray"}, "AuthFailure.TokenFailure"),
    ],
)
async def test_a_wrong_key_is_refused(key: dict[str, str], code: str) -> None:
    async with scene() as on:
        error = await refused(on.client(**key).DescribeImages, request(models.DescribeImagesRequest))
    assert error.get_code() == code


async def test_a_temporary_key_with_its_token_is_let_in() -> None:
    async with scene(keys=[{"secret_id": "tmp", "secret_key": "s", "token": "t"}]) as on:
        client = on.client(id="tmp", key="s", token="t")
        answer = await asyncio.to_thread(client.DescribeImages, request(models.DescribeImagesRequest))
    assert answer.TotalCount == 0


async def test_a_clock_that_is_off_is_refused_as_expired() -> None:
    async with scene(clock_skew_seconds=900) as on:
        error = await refused(on.client().DescribeImages, request(models.DescribeImagesRequest))
    assert error.get_code() == "AuthFailure.SignatureExpire"


async def test_the_request_that_is_one_too_many_is_throttled() -> None:
    async with scene(rates={"DescribeImages": 1}) as on:
        await asyncio.to_thread(on.client().DescribeImages, request(models.DescribeImagesRequest))
        error = await refused(on.client().DescribeImages, request(models.DescribeImagesRequest))
    assert error.get_code() == "RequestLimitExceeded"


@pytest.mark.parametrize(
    ("fault", "code"),
    [({"fault": "status", "status": 502}, "ServerNetworkError"), ({"fault": "drop"}, "ClientNetworkError")],
)
async def test_faults_before_the_api_look_like_faults_of_the_network(fault: dict[str, Any], code: str) -> None:
    async with scene() as on:
        on.rehearsal.misbehave(Misbehaviour(**fault))
        error = await refused(on.client().DescribeImages, request(models.DescribeImagesRequest))
    assert error.get_code() == code


# --- the token service ---------------------------------------------------------------------------------------------

ROLE = {"RoleArn": "qcs::cam::uin/100000000001:roleName/imageferry", "RoleSessionName": "sdk", "DurationSeconds": 200}


def sts(on: Scene, key: Credential | None) -> CommonClient:
    http = HttpProfile(protocol="http", endpoint=on.address, reqTimeout=20)
    return CommonClient("sts", "2018-08-13", key, REGION, ClientProfile(httpProfile=http))


async def test_the_sdk_takes_a_role_and_reads_images_with_its_keys() -> None:
    async with scene() as on:
        image(on.rehearsal)
        signer = Credential(REHEARSAL_KEY.secret_id, REHEARSAL_KEY.secret_key)
        answer = await asyncio.to_thread(sts(on, signer).call_json, "AssumeRole", ROLE)
        given = answer["Response"]["Credentials"]
        client = on.client(id=given["TmpSecretId"], key=given["TmpSecretKey"], token=given["Token"])
        shown = await asyncio.to_thread(client.DescribeImages, request(models.DescribeImagesRequest))
        on.clock.jump(200)
        error = await refused(client.DescribeImages, request(models.DescribeImagesRequest))
    assert (shown.TotalCount, error.code) == (1, "AuthFailure.TokenFailure")


async def test_the_sdk_takes_a_role_by_an_identity_token_unsigned() -> None:
    async with scene() as on:
        asked = {**ROLE, "ProviderId": "rehearsal-idp", "WebIdentityToken": "rehearsal-identity-token"}
        call = sts(on, None).call_json
        answer = await asyncio.to_thread(call, "AssumeRoleWithWebIdentity", asked, None, {"SkipSign": True})
    assert answer["Response"]["Credentials"]["TmpSecretId"] == on.rehearsal.world.sessions[0].secret_id
