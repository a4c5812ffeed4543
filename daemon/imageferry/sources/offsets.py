"""The Kafka source's bookkeeping: what was read, what is durable, what is committed, and whether it is all.

Only the Kafka source uses it. It is plain arithmetic: it asks no broker and waits for nothing. An offset here is
always that of the next message, as Kafka commits it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from imageferry.ports import Delivery


class Partition(NamedTuple):
    """A partition of a topic; equal to the Kafka client's own tuple."""

    topic: str
    partition: int


class Batch(NamedTuple):
    """What one fetch gave, parsed."""

    deliveries: Sequence[Delivery]
    ends: Mapping[Partition, int]
    """For each partition the offset after the last message in the batch."""
    epoch: int
    """The assignment under which it was read."""


class Offsets:
    """One consumer group member's view of its partitions.

    An *epoch* is the time between two rebalances. After a rebalance every partition is read again from its committed
    offset, so what an older epoch read and has not delivered is dropped, and its late deliveries are not committed:
    they would only be repeats, or set another member's offset back.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.leaving = False
        """A rebalance has begun: what is being accepted now may still be committed, nothing new may begin."""
        self.assigned: frozenset[Partition] = frozenset()
        self.joined = False
        """Whether there is an assignment, be it an empty one."""
        self._unaccepted = 0
        self._durable: dict[Partition, int] = {}
        self._committed: dict[Partition, int] = {}
        self._targets: dict[Partition, int] = {}
        self._reached: set[Partition] = set()

    @property
    def aimed(self) -> bool:
        """Whether it is known where every assigned partition ended when it was first seen."""
        return self.joined and self.assigned <= self._targets.keys()

    @property
    def resting(self) -> bool:
        """Whether everything that was read has been accepted or dropped."""
        return self._unaccepted == 0

    def assign(self, partitions: Iterable[Partition]) -> None:
        """A rebalance ended with these partitions."""
        self._forget()
        self.assigned = frozenset(partitions)
        self.joined = True

    def leave(self) -> None:
        """A rebalance has begun; the epoch ends with :meth:`revoke`."""
        self.leaving = True

    def revoke(self) -> None:
        """Nothing is assigned any more."""
        self._forget()
        self.assigned = frozenset()
        self.joined = False

    def close(self) -> None:
        """The connection is gone, and with it everything that was read and not accepted."""
        self.revoke()
        self._unaccepted = 0

    def read(self) -> int:
        """A batch was read just now; returns the epoch it belongs to."""
        self._unaccepted += 1
        return self.epoch

    def current(self, batch: Batch) -> bool:
        """Whether the batch may still be delivered."""
        return batch.epoch == self.epoch and not self.leaving

    def drop(self) -> None:
        """A batch that was read will not be delivered."""
        self._unaccepted -= 1

    def accept(self, batch: Batch) -> None:
        """The batch is durable."""
        self._unaccepted -= 1
        if batch.epoch == self.epoch:
            self._durable.update(batch.ends)
            self._look_at(batch.ends)

    def uncommitted(self) -> dict[Partition, int]:
        """The newest durable offsets that are not committed yet."""
        return {tp: offset for tp, offset in self._durable.items() if self._committed.get(tp) != offset}

    def commit(self, offsets: Mapping[Partition, int], epoch: int) -> None:
        """These offsets were committed during ``epoch``."""
        if epoch == self.epoch:
            self._committed.update(offsets)

    def aim(self, ends: Mapping[Partition, int]) -> None:
        """Where the partitions ended when they were first seen; later ends of the same partition change nothing."""
        for tp, end in ends.items():
            self._targets.setdefault(tp, end)

    def rest_at(self, positions: Mapping[Partition, int]) -> None:
        """Nothing was being accepted while the client stood at these positions."""
        self._look_at(positions)

    def drained(self) -> bool:
        """Whether every assigned partition was accepted up to where it ended when it was first seen."""
        return self.joined and not self.leaving and self.assigned <= self._reached

    def _look_at(self, offsets: Mapping[Partition, int]) -> None:
        self._reached.update(tp for tp, at in offsets.items() if tp in self._targets and at >= self._targets[tp])

    def _forget(self) -> None:
        self.epoch += 1
        self.leaving = False
        self._durable.clear()
        self._committed.clear()
