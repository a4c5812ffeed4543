from imageferry.rehearsal.windows import WINDOW, RateWindow, RateWindows


def test_arrivals_within_the_window_are_counted_together() -> None:
    window = RateWindow()
    assert [window.arrive(at) for at in (10.0, 10.1, 10.89)] == [1, 2, 3]


def test_an_arrival_that_is_a_whole_window_old_is_no_longer_counted() -> None:
    window = RateWindow()
    window.arrive(0.0)
    assert window.arrive(WINDOW) == 1


def test_twenty_a_second_on_the_beat_never_hold_more_than_twenty() -> None:
    window = RateWindow()
    assert max(window.arrive(number / 20) for number in range(200)) <= 20


def test_the_busiest_window_is_remembered_after_it_has_passed() -> None:
    window = RateWindow()
    for at in (1.0, 1.1, 1.2, 9.0):
        window.arrive(at)
    assert window.busiest == 3


def test_lanes_are_counted_apart_and_shown_without_their_keys() -> None:
    windows = RateWindows()
    windows.arrive(("ExportImages", "a", "key-1"), 1.0)
    windows.arrive(("ExportImages", "a", "key-1"), 1.1)
    windows.arrive(("ExportImages", "a", "key-2"), 1.1)
    windows.arrive(("SyncImages", "a", "key-1"), 1.1)
    assert windows.busiest() == {("ExportImages", "a"): 2, ("SyncImages", "a"): 1}
