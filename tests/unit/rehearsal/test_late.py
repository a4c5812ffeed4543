from imageferry.rehearsal.late import LateWork


def test_work_is_done_in_the_order_of_its_times_and_told_when_it_was_due() -> None:
    late, done = LateWork(), []
    for name, due in (("c", 30), ("a", 10), ("b", 20), ("a2", 10)):
        late.put_off(due, lambda at, name=name: done.append((name, at)))
    late.settle(20)
    assert (done, len(late)) == ([("a", 10), ("a2", 10), ("b", 20)], 1)


def test_work_is_done_once() -> None:
    late, done = LateWork(), []
    late.put_off(5, done.append)
    for now in (4, 5, 6):
        late.settle(now)
    assert (done, len(late)) == ([5], 0)


def test_work_that_puts_off_more_is_followed_in_the_same_turn_when_that_is_due_too() -> None:
    late, done = LateWork(), []
    late.put_off(1, lambda at: late.put_off(at + 1, done.append))
    late.settle(2)
    assert done == [2]
