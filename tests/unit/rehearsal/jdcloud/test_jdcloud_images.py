from typing import Any

import pytest

from support.clocks import START, FakeClock
from support.jdcloud_rehearsals import OTHER_REGION, calling, image, jdcloud


async def words(params: dict[str, Any] | str, **options: Any) -> str:
    clock = FakeClock()
    async with calling(jdcloud(clock, **options), clock) as caller:
        return await caller.words("GET", "images", params)


async def test_an_image_has_every_field_of_the_vendors_model() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock)
    own = {"instance_id": "i-1", "description": "nightly"}
    image_id = image(rehearsal, name="web", size_gib=50, data_disks_gib=(70,), extra=own)
    async with calling(rehearsal, clock) as caller:
        (shown,) = await caller.images()
        alone = await caller.image(image_id)
    snapshot = shown["snapshotId"]
    system, data = shown.pop("systemDisk"), shown.pop("dataDisks")
    assert {**shown, "systemDisk": system, "dataDisks": data} == alone
    assert shown == {
        "imageId": image_id,
        "name": "web",
        "platform": "Ubuntu",
        "osVersion": "22.04",
        "architecture": "x86_64",
        "systemDiskSizeGB": 50,
        "imageSource": "private",
        "osType": "linux",
        "status": "ready",
        "createTime": "2026-01-01 08:00:00",
        "sizeMB": 0,
        "desc": "nightly",
        "ownerPin": "rehearsal-pin",
        "loginName": "rehearsal-pin",
        "launchPermission": "ownerOnly",
        "snapshotId": snapshot,
        "rootDeviceType": "cloudDisk",
        "progress": None,
        "offline": False,
        "serviceCode": None,
        "imported": False,
        "expiredTime": "",
        "instanceId": "i-1",
        "bootMode": "bios",
        "chargeInfo": None,
    }
    assert system == {
        "diskCategory": "cloud",
        "autoDelete": True,
        "deviceName": "vda",
        "localDisk": None,
        "cloudDisk": {"diskType": "ssd.gp1", "diskSizeGB": 50, "snapshotId": snapshot, "encrypted": False},
    }
    assert [(each["deviceName"], each["cloudDisk"]["diskSizeGB"]) for each in data] == [("vdb", 70)]


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        (
            {"platform": "Windows", "os_name": "Windows Server 2022"},
            {"platform": "Windows Server", "osType": "windows"},
        ),
        ({"architecture": "aarch64"}, {"architecture": "arm64"}),
        ({"image_type": "PUBLIC_IMAGE"}, {"imageSource": "public", "launchPermission": "all"}),
        ({"image_type": "MARKET_IMAGE"}, {"imageSource": "thirdparty", "ownerPin": "another-pin"}),
        ({"image_type": "SHARED_IMAGE"}, {"imageSource": "shared", "ownerPin": "another-pin"}),
        ({"extra": {"community": True}}, {"imageSource": "community"}),
        ({"extra": {"imported": True}}, {"imported": True}),
        ({"extra": {"root_device": "localDisk"}}, {"rootDeviceType": "localDisk", "snapshotId": ""}),
        ({"extra": {"launch_permission": "specifiedUsers"}}, {"launchPermission": "specifiedUsers"}),
        ({"fails": True}, {"status": "error"}),
        ({"extra": {"deleting": True}}, {"status": "deleting"}),
        ({"created_at": START - 86_400_000_000}, {"createTime": "2025-12-31 08:00:00"}),
        ({"without_snapshots": True}, {"systemDisk": None, "snapshotId": ""}),
    ],
)
async def test_the_facts_of_an_image_are_told_in_the_vendors_words(facts: dict[str, Any], told: dict[str, Any]) -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock)
    async with calling(rehearsal, clock) as caller:
        shown = await caller.image(image(rehearsal, **facts))
    assert {name: shown[name] for name in told} == told


async def test_a_local_disk_has_no_snapshot() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock)
    async with calling(rehearsal, clock) as caller:
        disk = (await caller.image(image(rehearsal, extra={"root_device": "localDisk"})))["systemDisk"]
    assert (disk["diskCategory"], disk["cloudDisk"], disk["localDisk"]["diskSizeGB"]) == ("local", None, 20)


@pytest.mark.parametrize(("shows", "named"), [("encrypted", ["encrypted"]), ("encrypt", ["encrypt"]), ("absent", [])])
async def test_encryption_is_told_under_the_name_of_the_switch_and_by_the_disk_service(
    shows: str, named: list[str]
) -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock, shows_encrypted=shows)
    async with calling(rehearsal, clock) as caller:
        shown = await caller.image(image(rehearsal, encrypted=True))
        snapshot = await caller.ask("GET", f"snapshots/{shown['snapshotId']}", service="disk")
    disk = shown["systemDisk"]["cloudDisk"]
    assert {name: disk[name] for name in disk if name.startswith("encrypt")} == dict.fromkeys(named, True)
    assert snapshot["snapshot"]["encrypted"] is True


async def test_an_older_server_does_not_tell_of_imports() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock, shows_imported=False)
    async with calling(rehearsal, clock) as caller:
        assert "imported" not in await caller.image(image(rehearsal))


async def test_a_new_image_is_pending_until_its_time_has_come() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock, image_ready_seconds=10, pending_word="creating")
    good, bad, own_time = image(rehearsal), image(rehearsal, fails=True), image(rehearsal, ready_seconds=0)
    async with calling(rehearsal, clock) as caller:
        before = [(await caller.image(each))["status"] for each in (good, bad, own_time)]
        clock.jump(10)
        after = [(await caller.image(each))["status"] for each in (good, bad, own_time)]
    assert (before, after) == (["creating", "creating", "ready"], ["ready", "error", "ready"])


@pytest.mark.parametrize(
    ("options", "seen"),
    [
        ({}, ["ready", "ready"]),
        ({"state_while_exporting": "exporting", "state_while_copying": "copying"}, ["exporting", "copying"]),
    ],
)
async def test_a_source_image_shows_the_status_of_the_switches(options: dict[str, Any], seen: list[str]) -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock, **options)
    exported, copied = image(rehearsal), image(rehearsal)
    async with calling(rehearsal, clock) as caller:
        await caller.export(exported)
        await caller.copy(copied)
        meanwhile = [(await caller.image(each))["status"] for each in (exported, copied)]
        clock.jump(3)
        afterwards = [(await caller.image(each))["status"] for each in (exported, copied)]
    assert (meanwhile, afterwards) == (seen, ["ready", "ready"])


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({"imageSource": "private"}, ["web-1", "web-2", "db"]),
        ({"imageSource": "shared"}, ["theirs"]),
        ({"imageSource": "public"}, ["ubuntu"]),
        ({"imageSource": "public", "offline": "false"}, ["ubuntu"]),
        ({"imageSource": "public", "offline": "true"}, []),
        ({"imageSource": "private", "offline": "true"}, ["web-1", "web-2", "db"]),
        ({"imageSource": "private", "imageName": "web"}, ["web-1", "web-2"]),
        ({"imageSource": "private", "platform": "Debian"}, ["web-2"]),
        ({"imageSource": "private", "status": "ready"}, ["web-1", "web-2"]),
        ({"imageSource": "private", "status": "pending"}, ["db"]),
        ({"imageSource": "private", "rootDeviceType": "localDisk"}, ["web-2"]),
        ({"imageSource": "private", "architecture": "arm64"}, ["web-1"]),
        ({"imageSource": "private", "bootMode": "uefi"}, []),
        ({"imageSource": "private", "launchPermission": "specifiedUsers"}, ["web-1"]),
        ({"imageSource": "shared", "launchPermission": "specifiedUsers"}, ["theirs"]),
        ({"imageSource": "private", "instanceIds": ["i-1", "i-2"]}, ["web-1", "db"]),
        ({"imageSource": "private", "instanceIds": ["i-1"], "status": "pending"}, []),
        ({"ids": ["img-c", "img-a", "img-none", "img-a"]}, ["db", "web-1"]),
        ({"ids": ["img-c", "img-a"], "status": "ready"}, ["web-1"]),
        ({"ids": ["img-d"], "imageSource": "private"}, []),
    ],
)
async def test_filters_are_all_needed(params: dict[str, Any], names: list[str]) -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock)
    shared_out = {"launch_permission": "specifiedUsers", "instance_id": "i-1"}
    image(rehearsal, image_id="img-a", name="web-1", architecture="arm64", extra=shared_out)
    image(rehearsal, image_id="img-b", name="web-2", platform="Debian", extra={"root_device": "localDisk"})
    image(rehearsal, image_id="img-c", name="db", ready_seconds=5, extra={"instance_id": "i-2"})
    image(rehearsal, image_id="img-d", name="theirs", image_type="SHARED_IMAGE")
    image(rehearsal, name="ubuntu", image_type="PUBLIC_IMAGE")
    image(rehearsal, region=OTHER_REGION, name="web-elsewhere")
    async with calling(rehearsal, clock) as caller:
        result = await caller.ask("GET", "images", params)
    assert [each["name"] for each in result["images"]] == names
    assert result["totalCount"] == len(names)


async def test_pages_together_hold_every_image_once() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock)
    made = [image(rehearsal) for _ in range(45)]
    async with calling(rehearsal, clock) as caller:
        pages = [await caller.ask("GET", "images", {"imageSource": "private", "pageNumber": n}) for n in "1234"]
    assert [each["imageId"] for page in pages for each in page["images"]] == made
    assert [(page["totalCount"], len(page["images"])) for page in pages] == [(45, 20), (45, 20), (45, 5), (45, 0)]


@pytest.mark.parametrize(("cuts", "shown"), [(True, 20), (False, 30)])
async def test_the_usual_page_cuts_an_answer_to_ids_as_the_switch_says(cuts: bool, shown: int) -> None:  # noqa: FBT001 - a switch
    clock = FakeClock()
    rehearsal = jdcloud(clock, limit_cuts_ids=cuts)
    ids = [image(rehearsal) for _ in range(30)]
    async with calling(rehearsal, clock) as caller:
        cut = await caller.ask("GET", "images", {"ids": ids})
        whole = await caller.ask("GET", "images", {"ids": ids, "pageSize": "100"})
    assert (len(cut["images"]), cut["totalCount"], len(whole["images"])) == (shown, 30, 30)


@pytest.mark.parametrize(("unknown", "told"), [("empty", ""), ("error", "NOT_FOUND: Image 'img-none' not found")])
async def test_an_unknown_id_is_left_out_or_refused_as_the_switch_says(unknown: str, told: str) -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock, unknown_ids=unknown)
    async with calling(rehearsal, clock) as caller:
        assert await caller.words("GET", "images", {"ids": [image(rehearsal), "img-none"]}) == told


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({}, "FAILED_PRECONDITION: Parameter ImageSource missing"),
        ({"imageSource": "mine"}, "INVALID_ARGUMENT: Invalid imageSource 'mine'"),
        ({"imageSource": "private", "architecture": "sparc"}, "INVALID_ARGUMENT: Invalid architecture 'sparc'"),
        ({"imageSource": "private", "pageSize": "9"}, "OUT_OF_RANGE: PageSize out of range"),
        ({"imageSource": "private", "pageSize": "101"}, "OUT_OF_RANGE: PageSize out of range"),
        ({"imageSource": "private", "pageNumber": "0"}, "OUT_OF_RANGE: PageNumber out of range"),
        (
            {"imageSource": "private", "pageSize": "-1"},
            "INVALID_ARGUMENT: The parameter `pageSize` must be a whole number.",
        ),
        (
            {"imageSource": "public", "offline": "maybe"},
            "INVALID_ARGUMENT: The parameter `offline` must be true or false.",
        ),
        ({"imageSource": "public", "offline": "True"}, ""),
        ({"imageSource": "private", "colour": "red"}, "INVALID_ARGUMENT: The parameter `colour` is not recognized."),
        ("imageSource=private&ids=img-1", "INVALID_ARGUMENT: The parameter `ids` must be a list of strings."),
        ("imageSource=private&imageName=", ""),
        ({"imageSource": "private", "imageName": "网 +/%"}, ""),
    ],
)
async def test_parameters_are_held_to_their_rules(params: dict[str, Any] | str, told: str) -> None:
    assert await words(params) == told


async def test_lists_of_more_than_nine_are_read_in_their_order() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock)
    ids = [image(rehearsal) for _ in range(12)][::-1]
    async with calling(rehearsal, clock) as caller:
        assert [each["imageId"] for each in await caller.images(ids=ids)] == ids
