import random
from typing import Any

from imageferry.rehearsal.store import NewImage, RunningTasks, Store, StoredImage, StoredObject, disks_of


def stored(image_id: str = "img-00000001", **more: Any) -> StoredImage:
    facts = NewImage(region="ap-guangzhou")
    made = {"facts": facts, "region": "ap-guangzhou", "name": "web", "disks": (), "created_at": 0, "ready_at": 10}
    return StoredImage(id=image_id, **{**made, **more})


def test_running_tasks_are_counted_until_the_moment_they_end() -> None:
    running = RunningTasks()
    running.start(0, 10)
    running.start(0, 20)
    assert (running.count(9), running.count(10), running.count(20)) == (2, 1, 0)


def test_the_most_that_ran_at_once_is_remembered() -> None:
    running = RunningTasks()
    for start in (0, 5, 10):
        running.start(start, start + 10)
    assert running.most == 2


def test_an_object_is_absent_until_it_appears() -> None:
    store = Store(random.Random(1))
    store.write("b", "k", StoredObject(8, "e", appears_at=10, whole_at=10))
    assert (store.head("b", "k", 9), store.head("b", "other", 10)) == (None, None)


def test_an_object_that_grows_is_first_seen_at_half_its_size() -> None:
    written = StoredObject(8, "e", appears_at=10, whole_at=20)
    assert (written.size_at(10), written.size_at(20)) == (4, 8)


def test_an_overwritten_object_shows_the_old_writing_until_the_new_one_appears() -> None:
    store = Store(random.Random(1))
    for etag, at in (("old", 10), ("new", 30)):
        store.write("b", "k", StoredObject(8, etag, appears_at=at, whole_at=at))
    shown = [store.head("b", "k", now) for now in (29, 30)]
    assert [each and each.etag for each in shown] == ["old", "new"]


def test_a_deleted_object_is_gone() -> None:
    store = Store(random.Random(1))
    store.write("b", "k", StoredObject(8, "e", appears_at=0, whole_at=0))
    assert (store.delete("b", "k"), store.delete("b", "k"), store.head("b", "k", 5)) == (True, False, None)


def test_a_name_is_taken_as_long_as_its_image_is_there() -> None:
    store = Store(random.Random(1))
    store.put(stored())
    taken = store.named("ap-guangzhou", "web", 0)
    store.take_away("ap-guangzhou", "img-00000001")
    assert (taken, store.named("ap-guangzhou", "web", 0)) == (True, False)


def test_a_vanishing_image_is_gone_with_its_name_when_its_time_has_come() -> None:
    store = Store(random.Random(1))
    store.put(stored(fails=True, vanishes=True))
    assert store.image("ap-guangzhou", "img-00000001", 9) is not None
    assert store.image("ap-guangzhou", "img-00000001", 10) is None
    assert not store.named("ap-guangzhou", "web", 10)


def test_an_image_of_the_same_id_is_replaced() -> None:
    store = Store(random.Random(1))
    store.put(stored())
    store.put(stored(name="new"))
    assert [image.name for image in store.images("ap-guangzhou", 0)] == ["new"]
    assert not store.named("ap-guangzhou", "web", 0)


def test_every_disk_gets_a_snapshot_of_its_own() -> None:
    disks = disks_of(NewImage(region="r", size_gib=20, data_disks_gib=(50, 50)), Store(random.Random(1)))
    assert [(disk.system, disk.size_gib) for disk in disks] == [(True, 20), (False, 50), (False, 50)]
    assert len({disk.snapshot_id for disk in disks}) == 3


def test_one_that_finds_no_place_waits_until_the_first_that_gives_one_up() -> None:
    running = RunningTasks()
    begins = []
    for _ in range(4):
        at = running.free_at(2, 0)
        running.start(0, at + 10, at)
        begins.append(at)
    assert (begins, running.free_at(2, 10), running.most) == ([0, 0, 10, 10], 20, 2)
    assert (running.count(10), running.free_at(2, 20)) == (2, 20)


def test_one_that_was_stopped_gives_up_its_place() -> None:
    running = RunningTasks()
    for ends_at in (10, 20):
        running.start(0, ends_at)
    running.stop(10)
    running.stop(99)
    assert (running.count(5), running.count(20)) == (1, 0)
