from imageferry.rehearsal.nonces import UsedNonces


def test_a_nonce_is_used_once_within_its_time_and_by_each_key() -> None:
    nonces = UsedNonces()
    used = [("a", "n", 0), ("a", "n", 9), ("b", "n", 9), ("a", "m", 9), ("a", "n", 10), ("a", "n", 19)]
    assert [nonces.use(key, nonce, now, 10) for key, nonce, now in used] == [True, False, True, True, True, False]


def test_nonces_that_are_not_kept_are_free() -> None:
    nonces = UsedNonces()
    assert [nonces.use("a", "n", 0, 0) for _ in range(2)] == [True, True]
