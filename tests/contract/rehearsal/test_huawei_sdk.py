"""The vendor's own SDK as a client of the Huawei Cloud rehearsal, over real HTTP."""

import asyncio
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import huaweicloudsdkims.v2 as ims
import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import (
    ClientRequestException,
    SdkException,
    ServerResponseException,
    ServiceResponseException,
)
from huaweicloudsdkcore.region.region import Region

from imageferry.rehearsal.huawei import HuaweiRehearsal
from imageferry.rehearsal.huawei_options import AGENCY
from imageferry.rehearsal.misbehaviour import Misbehaviour
from imageferry.rehearsal.options import REHEARSAL_KEY
from support.clocks import FakeClock
from support.huawei_rehearsals import (
    BUCKET,
    OTHER_PROJECT,
    OTHER_REGION,
    PROJECT,
    REGION,
    huawei,
    image,
)
from support.rehearsals import served


class Scene(NamedTuple):
    rehearsal: HuaweiRehearsal
    clock: FakeClock
    url: str

    def client(self, project: str | None = PROJECT, **key: str) -> ims.ImsClient:
        """A client for one region; without a project it asks for the region's own."""
        given = {"ak": REHEARSAL_KEY.secret_id, "sk": REHEARSAL_KEY.secret_key, **key}
        credentials = BasicCredentials(given["ak"], given["sk"], project).with_iam_endpoint(self.url)
        if "token" in key:
            credentials.with_security_token(key["token"])
        return self.built(credentials)

    def built(self, credentials: BasicCredentials) -> ims.ImsClient:
        builder = ims.ImsClient.new_builder().with_credentials(credentials)
        return builder.with_region(Region(REGION, self.url)).build()


@asynccontextmanager
async def scene(**options: Any) -> AsyncIterator[Scene]:
    # The SDK takes the time from the machine, so the rehearsal's clock starts there too; it moves by hand.
    clock = FakeClock(time.time_ns() // 1000)
    rehearsal = huawei(clock, **options)
    async with served(rehearsal) as url:
        yield Scene(rehearsal, clock, url)


@pytest.fixture(autouse=True)
def _no_remembered_projects() -> Iterator[None]:
    BasicCredentials._CACHE.clear()
    yield
    BasicCredentials._CACHE.clear()


async def asked(call: Callable[[Any], Any], request: Any) -> Any:
    return await asyncio.to_thread(call, request)


async def refused(call: Callable[[Any], Any], request: Any) -> ServiceResponseException:
    with pytest.raises(ServiceResponseException) as caught:
        await asked(call, request)
    return caught.value


def export_of(image_id: str, **changes: Any) -> ims.ExportImageRequest:
    fields = {"bucket_url": f"{BUCKET}:centos7_5.qcow2", "file_format": "qcow2", "is_quick_export": False, **changes}
    return ims.ExportImageRequest(image_id=image_id, body=ims.ExportImageRequestBody(**fields))


def copy_of(image_id: str, name: str = "web-copy") -> ims.CopyImageCrossRegionRequest:
    body = ims.CopyImageCrossRegionRequestBody(
        agency_name=AGENCY, name=name, project_name=OTHER_REGION, region=OTHER_REGION
    )
    return ims.CopyImageCrossRegionRequest(image_id=image_id, body=body)


async def test_list_images_reads_images_with_their_facts() -> None:
    async with scene() as on:
        image_id = image(on.rehearsal, name="web 镜像", size_gib=30, tags={"env": "prod"}, encrypted=True)
        image(on.rehearsal, name="other")
        wanted = ims.ListImagesRequest(imagetype="private", name="web 镜像", limit=100, owner=PROJECT)
        (shown,) = (await asked(on.client().list_images, wanted)).images
    assert (shown.id, shown.name, shown.status, shown.image_size) == (image_id, "web 镜像", "active", str(30 << 30))
    assert (shown.tags, shown.os_type, shown.imagetype, bool(shown.system__cmkid)) == (
        ["env=prod"],
        "Linux",
        "private",
        True,
    )


async def test_list_images_goes_on_behind_a_marker() -> None:
    async with scene() as on:
        made = {image(on.rehearsal) for _ in range(3)}
        first = await asked(on.client().list_images, ims.ListImagesRequest(limit=2))
        marker = first.page_info.next_marker
        second = await asked(on.client().list_images, ims.ListImagesRequest(limit=2, marker=marker))
    assert ({each.id for each in first.images + second.images}, marker) == (made, first.images[-1].id)
    assert second.page_info.next_marker is None


async def test_export_image_starts_a_job_that_ends_with_an_object() -> None:
    async with scene() as on:
        image_id = image(on.rehearsal, name="web")
        job_id = (await asked(on.client().export_image, export_of(image_id))).job_id
        told = []
        for seconds in (0, 2):
            on.clock.jump(seconds)
            told.append(await asked(on.client().show_job_progress, ims.ShowJobProgressRequest(job_id=job_id)))
        objects = [each["key"] for each in on.rehearsal.state(["objects"])["objects"]]
    assert [(each.status, each.job_type) for each in told] == [
        ("RUNNING", "imsNativeExportImageJob"),
        ("SUCCESS", "imsNativeExportImageJob"),
    ]
    assert (told[1].entities.image_id, told[1].entities.process_percent, objects) == (
        image_id,
        1.0,
        ["centos7_5.qcow2"],
    )


@pytest.mark.parametrize(
    ("size_gib", "fields"),
    [
        (20, {"bucket_url": f"{BUCKET}:small.vhd", "file_format": "vhd"}),
        (500, {"bucket_url": f"{BUCKET}:big.zvhd2", "is_quick_export": True}),
    ],
)
async def test_the_newer_call_exports_too(size_gib: int, fields: dict[str, Any]) -> None:
    async with scene() as on:
        image_id = image(on.rehearsal, size_gib=size_gib)
        body = ims.ExportImageRequestBody(**fields)
        request = ims.ExportImageInSafeModeRequest(image_id=image_id, body=body)
        answer = await asked(on.client().export_image_in_safe_mode, request)
    assert [task.id for task in on.rehearsal.tasks] == [answer.job_id]


async def test_the_older_way_to_a_job_names_the_project() -> None:
    async with scene() as on:
        job_id = (await asked(on.client().export_image, export_of(image(on.rehearsal)))).job_id
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            told = await asked(on.client().show_job, ims.ShowJobRequest(job_id=job_id))
    assert (told.status, told.job_id, told.error_code) == ("RUNNING", job_id, None)


async def test_a_failed_job_says_why() -> None:
    async with scene() as on:
        on.rehearsal.misbehave(Misbehaviour(fault="task_fails", code="IMG.0069", message="bucket not reachable"))
        job_id = (await asked(on.client().export_image, export_of(image(on.rehearsal)))).job_id
        on.clock.jump(2)
        told = await asked(on.client().show_job_progress, ims.ShowJobProgressRequest(job_id=job_id))
    assert (told.status, told.error_code, told.fail_reason) == ("FAIL", "IMG.0069", "bucket not reachable")


async def test_a_refusal_carries_the_vendors_code_and_the_request_id() -> None:
    async with scene() as on:
        image_id = image(on.rehearsal)
        await asked(on.client().export_image, export_of(image_id))
        error = await refused(on.client().export_image, export_of(image_id))
    assert (error.status_code, error.error_code) == (400, "IMG.0148")
    assert error.request_id == on.rehearsal.requests.last[-1].request_id


async def test_cross_region_copy_makes_an_image_in_the_other_region() -> None:
    async with scene() as on:
        job_id = (await asked(on.client().copy_image_cross_region, copy_of(image(on.rehearsal)))).job_id
        on.clock.jump(3)
        job = await asked(on.client().show_job_progress, ims.ShowJobProgressRequest(job_id=job_id))
        wanted = ims.ListImagesRequest(id=job.entities.image_id)
        (made,) = (await asked(on.client(OTHER_PROJECT).list_images, wanted)).images
    assert (job.status, job.job_type) == ("SUCCESS", "imsCrossRegionCopyImageJob")
    assert (made.name, made.status, made.owner) == ("web-copy", "active", OTHER_PROJECT)


async def test_a_copy_inside_its_region_is_a_job_too() -> None:
    async with scene() as on:
        body = ims.CopyImageInRegionRequestBody(name="plain")
        request = ims.CopyImageInRegionRequest(image_id=image(on.rehearsal, encrypted=True), body=body)
        job_id = (await asked(on.client().copy_image_in_region, request)).job_id
    assert [task.id for task in on.rehearsal.tasks] == [job_id]


async def test_tags_and_the_quota_are_read_and_written() -> None:
    async with scene(image_quota=20) as on:
        image_id, client = image(on.rehearsal), on.client()
        tags = [ims.ResourceTag(key="env", value="prod")]
        body = ims.BatchAddOrDeleteTagsRequestBody(action="create", tags=tags)
        await asked(client.batch_add_or_delete_tags, ims.BatchAddOrDeleteTagsRequest(image_id=image_id, body=body))
        told = await asked(client.list_image_tags, ims.ListImageTagsRequest(image_id=image_id))
        quota = await asked(client.show_image_quota, ims.ShowImageQuotaRequest())
    assert [(each.key, each.value) for each in told.tags] == [("env", "prod")]
    assert [(each.type, each.used, each.quota) for each in quota.quotas.resources] == [("image", 1, 20)]


# --- credentials ---------------------------------------------------------------------------------------------------


async def test_the_project_is_found_through_iam() -> None:
    async with scene() as on:
        image_id = image(on.rehearsal)
        client = await asyncio.to_thread(on.client, None)
        (shown,) = (await asked(client.list_images, ims.ListImagesRequest())).images
    assert (shown.id, on.rehearsal.requests.asked("KeystoneListProjects")) == (image_id, 1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"projects_listed": False}, "Failed to get project id"),
        ({"projects": {f"{REGION}_dev": "d" * 32}, "projects_by_prefix": True}, "Multiple project ids found"),
    ],
)
async def test_a_project_that_is_not_clear_is_not_guessed(options: dict[str, Any], words: str) -> None:
    async with scene(**options) as on:
        with pytest.raises(SdkException, match=words):
            await asyncio.to_thread(on.client, None)


async def test_an_identity_token_becomes_keys_that_are_let_in(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("rehearsal-identity-token")
    async with scene() as on:
        credentials = BasicCredentials(project_id=PROJECT).with_iam_endpoint(on.url)
        credentials.with_idp_id("rehearsal-idp").with_id_token_file(str(file))
        client = await asyncio.to_thread(on.built, credentials)
        answer = await asked(client.list_images, ims.ListImagesRequest())
    assert answer.images == []
    assert on.rehearsal.requests.answered("ok", "CreateTemporaryAccessKey") == 1


async def test_a_temporary_key_with_its_token_is_let_in() -> None:
    async with scene(keys=[{"secret_id": "tmp", "secret_key": "s", "token": "t"}]) as on:
        answer = await asked(on.client(ak="tmp", sk="s", token="t").list_images, ims.ListImagesRequest())
    assert answer.images == []


@pytest.mark.parametrize("key", [{"sk": "not-the-secret"}, {"ak": "AKnobody"}, {"token": "stray"}])
async def test_a_wrong_key_is_refused(key: dict[str, str]) -> None:
    async with scene() as on:
        error = await refused(on.client(**key).list_images, ims.ListImagesRequest())
    assert (error.status_code, error.error_code) == (401, "APIGW.0301")


async def test_a_clock_that_is_off_is_refused_as_expired() -> None:
    async with scene(clock_skew_seconds=1000) as on:
        error = await refused(on.client().list_images, ims.ListImagesRequest())
    assert (error.error_code, "signature expired" in error.error_msg) == ("APIGW.0301", True)


async def test_a_key_is_locked_after_too_many_bad_signatures() -> None:
    async with scene() as on:
        for _ in range(6):
            await refused(on.client(sk="wrong").list_images, ims.ListImagesRequest())
        error = await refused(on.client().list_images, ims.ListImagesRequest())
    assert "AK access failed to reach the limit" in error.error_msg


# --- trouble -------------------------------------------------------------------------------------------------------


async def test_the_request_that_is_one_too_many_is_throttled() -> None:
    async with scene(requests_a_second=1) as on:
        await asked(on.client().list_images, ims.ListImagesRequest())
        error = await refused(on.client().list_images, ims.ListImagesRequest())
    # The SDK keeps the status of such an answer only.
    assert (error.status_code, error.error_code, on.rehearsal.requests.throttled) == (429, "429", 1)


async def test_a_denial_by_policy_carries_its_encoded_reason() -> None:
    async with scene(denied={"ExportImage": "IAM.0082"}) as on:
        error = await refused(on.client().export_image, export_of(image(on.rehearsal)))
    assert (error.status_code, error.error_code, bool(error.encoded_auth_msg)) == (403, "IAM.0082", True)


@pytest.mark.parametrize(("status", "kind"), [(400, ClientRequestException), (502, ServerResponseException)])
async def test_faults_before_the_api_have_no_code_of_the_vendor(
    status: int, kind: type[ServiceResponseException]
) -> None:
    async with scene() as on:
        on.rehearsal.misbehave(Misbehaviour(fault="status", status=status))
        error = await refused(on.client().list_images, ims.ListImagesRequest())
    assert (type(error), error.error_code) == (kind, str(status))


async def test_a_dropped_connection_has_done_its_work_all_the_same() -> None:
    async with scene() as on:
        image_id = image(on.rehearsal)
        on.rehearsal.misbehave(Misbehaviour(fault="drop", work="done", count=1))
        with pytest.raises(SdkException):
            await asked(on.client().export_image, export_of(image_id))
        assert [task.image_id for task in on.rehearsal.tasks] == [image_id]
