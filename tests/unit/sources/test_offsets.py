from __future__ import annotations

from imageferry.sources.offsets import Batch, Offsets, Partition

A, B = Partition("t", 0), Partition("t", 1)


def assigned(*partitions: Partition) -> Offsets:
    offsets = Offsets()
    offsets.assign(partitions)
    return offsets


def read(offsets: Offsets, ends: dict[Partition, int]) -> Batch:
    return Batch([], ends, offsets.read())


def test_nothing_is_committed_before_it_was_accepted() -> None:
    offsets = assigned(A)
    read(offsets, {A: 5})
    assert offsets.uncommitted() == {}


def test_what_was_accepted_is_committed_once_with_its_newest_offsets() -> None:
    offsets = assigned(A, B)
    offsets.accept(read(offsets, {A: 5}))
    offsets.accept(read(offsets, {A: 9, B: 2}))
    assert offsets.uncommitted() == {A: 9, B: 2}
    offsets.commit({A: 9, B: 2}, offsets.epoch)
    assert offsets.uncommitted() == {}


def test_what_was_accepted_during_a_commit_is_left_for_the_next() -> None:
    offsets = assigned(A)
    offsets.accept(read(offsets, {A: 5}))
    offsets.accept(read(offsets, {A: 6}))
    offsets.commit({A: 5}, offsets.epoch)
    assert offsets.uncommitted() == {A: 6}


def test_what_an_older_assignment_read_is_not_delivered() -> None:
    offsets = assigned(A)
    batch = read(offsets, {A: 5})
    offsets.revoke()
    offsets.assign([A])
    assert not offsets.current(batch)


def test_what_an_older_assignment_delivered_late_is_not_committed() -> None:
    offsets = assigned(A)
    batch = read(offsets, {A: 5})
    offsets.revoke()
    offsets.assign([A])
    offsets.accept(batch)
    assert offsets.uncommitted() == {}


def test_what_is_in_flight_when_a_rebalance_begins_may_still_be_committed() -> None:
    offsets = assigned(A)
    batch = read(offsets, {A: 5})
    offsets.leave()
    offsets.accept(batch)
    assert offsets.uncommitted() == {A: 5}


def test_nothing_new_is_delivered_when_a_rebalance_begins() -> None:
    offsets = assigned(A)
    batch = read(offsets, {A: 5})
    offsets.leave()
    assert not offsets.current(batch)


def test_a_commit_of_an_older_assignment_is_not_taken_for_one_of_this() -> None:
    offsets = assigned(A)
    epoch = offsets.epoch
    offsets.revoke()
    offsets.assign([A])
    offsets.accept(read(offsets, {A: 5}))
    offsets.commit({A: 5}, epoch)
    assert offsets.uncommitted() == {A: 5}


def test_it_rests_when_all_that_was_read_was_accepted_or_dropped() -> None:
    offsets = assigned(A)
    batch = read(offsets, {A: 1})
    read(offsets, {A: 2})
    offsets.accept(batch)
    assert not offsets.resting
    offsets.drop()
    assert offsets.resting


def test_a_lost_connection_takes_with_it_what_was_not_accepted() -> None:
    offsets = assigned(A)
    read(offsets, {A: 1})
    offsets.close()
    assert offsets.resting


def test_it_is_drained_when_every_partition_was_accepted_to_its_first_end() -> None:
    offsets = assigned(A, B)
    offsets.aim({A: 5, B: 3})
    offsets.accept(read(offsets, {A: 5}))
    assert not offsets.drained()
    offsets.accept(read(offsets, {B: 3}))
    assert offsets.drained()


def test_later_ends_do_not_move_the_aim() -> None:
    offsets = assigned(A)
    offsets.aim({A: 5})
    offsets.aim({A: 500})
    offsets.accept(read(offsets, {A: 5}))
    assert offsets.drained()


def test_an_empty_partition_is_drained_where_the_client_stands() -> None:
    offsets = assigned(A)
    offsets.aim({A: 7})
    offsets.rest_at({A: 7})
    assert offsets.drained()


def test_a_partition_without_known_end_is_not_drained() -> None:
    offsets = assigned(A)
    offsets.rest_at({A: 7})
    assert not offsets.drained()


def test_it_is_not_drained_before_an_assignment() -> None:
    assert not Offsets().drained()


def test_a_member_without_partitions_is_drained() -> None:
    assert assigned().drained()


def test_it_is_not_drained_in_the_middle_of_a_rebalance() -> None:
    offsets = assigned()
    offsets.leave()
    assert not offsets.drained()
    offsets.revoke()
    assert not offsets.drained()


def test_what_was_drained_stays_so_over_a_rebalance() -> None:
    offsets = assigned(A)
    offsets.aim({A: 5})
    offsets.accept(read(offsets, {A: 5}))
    offsets.revoke()
    offsets.assign([A])
    assert offsets.drained()


def test_it_has_aimed_when_the_end_of_every_partition_is_known() -> None:
    offsets = assigned(A, B)
    offsets.aim({A: 5})
    assert not offsets.aimed
    offsets.aim({B: 0})
    assert offsets.aimed
