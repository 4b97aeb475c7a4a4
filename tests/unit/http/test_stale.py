from twofold.http.stale import Remembered, StaleAnswers


class Clock:
    at = 100.0

    def __call__(self) -> float:
        return self.at


def filled(max_bytes: int = 10_000, count: int = 1, size: int = 2) -> tuple[StaleAnswers, Clock]:
    clock = Clock()
    answers = StaleAnswers(max_bytes, clock)
    for number in range(count):
        answers.remember("Ask", b"%d" % number, b"x" * size, 17)
    return answers, clock


def found(answers: StaleAnswers, query: bytes = b"0", *, after: int | None = None, name: str = "Ask") -> bool:
    return answers.find(name, query, after=after, stale_ok_s=30) is not None


def test_an_answer_is_found_again_with_its_age() -> None:
    answers, clock = filled()
    assert answers.find("Ask", b"0", after=None, stale_ok_s=30) == (Remembered(b"xx", 17, 100.0), 0)
    clock.at += 29.9
    assert answers.find("Ask", b"0", after=None, stale_ok_s=30) == (Remembered(b"xx", 17, 100.0), 29)


def test_an_answer_that_is_too_old_is_none_and_forgotten() -> None:
    answers, clock = filled()
    clock.at += 30.1
    assert not found(answers)
    assert answers.bytes == 0


def test_an_answer_to_another_query_is_none() -> None:
    answers, _ = filled()
    assert not found(answers, b"1")
    assert not found(answers, name="Look")


def test_an_answer_that_does_not_reflect_the_wanted_position_is_none() -> None:
    answers, _ = filled()
    assert [found(answers, after=after) for after in (16, 17, 18)] == [True, True, False]


def test_the_newest_answer_is_kept() -> None:
    answers, clock = filled()
    before = answers.bytes
    clock.at += 20
    answers.remember("Ask", b"0", b"yy", 18)
    assert answers.find("Ask", b"0", after=18, stale_ok_s=30) == (Remembered(b"yy", 18, 120.0), 0)
    assert answers.bytes == before


def test_answers_have_so_many_bytes_and_the_least_used_go_first() -> None:
    answers, _ = filled(max_bytes=10_000, count=9, size=600)
    assert answers.bytes <= 10_000
    assert [found(answers, b"%d" % number) for number in (0, 8)] == [True, True]
    found(answers, b"0")
    answers.remember("Ask", b"9", b"x" * 600, 17)
    assert answers.bytes <= 10_000
    assert [found(answers, b"%d" % number) for number in (0, 1, 9)] == [True, False, True]


def test_an_answer_larger_than_all_is_not_kept() -> None:
    answers, _ = filled(max_bytes=500, size=200)
    assert not found(answers)
    assert answers.bytes == 0
