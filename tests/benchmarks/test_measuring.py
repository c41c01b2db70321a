import pytest

from benchmarks.measuring import Figure, Readings, Spread, Target, interleave, judge

FASTER = Figure(
    name="epoch", unit="s", ours="a/ours", opponents=("a/one", "a/other"), target=Target(kind="at least", value=3)
)
COST = Figure(
    name="loop",
    unit="s",
    ours="a/ours",
    opponents=("a/one",),
    ratio="ours / opponent",
    target=Target(kind="at most", value=1.05),
)
ALONE = Figure(name="memory", unit="MB", ours="a/ours", target=Target(kind="at most", value=100))


def test_sides_take_turns() -> None:
    turns: list[str] = []
    heard: list[tuple[str, float]] = []
    readings = Readings(lambda series, value: heard.append((series, value)))

    def side(name: str) -> float:
        turns.append(name)
        return float(len(turns))

    interleave(readings, {"a/ours": lambda: side("ours"), "a/one": lambda: side("one")}, num_rounds=3)
    assert turns == ["ours", "one"] * 3
    assert readings.series == {"a/ours": [1, 3, 5], "a/one": [2, 4, 6]}
    assert heard[:2] == [("a/ours", 1), ("a/one", 2)]


def test_a_spread_is_the_median_between_the_extremes() -> None:
    assert Spread.of([5.0, 1.0, 2.0]) == Spread(median=2.0, low=1.0, high=5.0)


def test_the_faster_opponent_counts_and_the_ratio_says_how_many_times_faster_we_are() -> None:
    verdict = judge(FASTER, {"a/ours": [1.0, 2.0, 1.0], "a/one": [9.0, 9.0, 9.0], "a/other": [4.0, 4.0, 6.0]})
    assert verdict is not None
    assert verdict.opponent_series == "a/other"
    assert verdict.ratio == Spread(median=4.0, low=2.0, high=6.0)
    assert verdict.is_met


def test_an_opponent_that_was_only_tried_out_is_not_the_faster_one() -> None:
    verdict = judge(FASTER, {"a/ours": [1.0, 1.0, 1.0], "a/one": [4.1], "a/other": [4.0, 5.0, 6.0]})
    assert verdict is not None
    assert (verdict.opponent_series, verdict.num_rounds) == ("a/other", 3)


@pytest.mark.parametrize(("opponent", "is_met"), [(3.0, True), (2.9, False)])
def test_at_least_is_met_from_its_value_on(opponent: float, is_met: bool) -> None:
    verdict = judge(FASTER, {"a/ours": [1.0], "a/one": [opponent]})
    assert verdict is not None
    assert verdict.is_met is is_met


@pytest.mark.parametrize(("ours", "is_met"), [(1.05, True), (1.06, False)])
def test_at_most_is_met_up_to_its_value(ours: float, is_met: bool) -> None:
    verdict = judge(COST, {"a/ours": [ours], "a/one": [1.0]})
    assert verdict is not None
    assert verdict.ratio is not None
    assert verdict.ratio.median == ours
    assert verdict.is_met is is_met


@pytest.mark.parametrize(("ours", "is_met"), [([100.0, 90.0, 99.0], True), ([101.0, 200.0, 1.0], False)])
def test_without_an_opponent_our_median_is_judged(ours: list[float], is_met: bool) -> None:
    verdict = judge(ALONE, {"a/ours": ours})
    assert verdict is not None
    assert verdict.ratio is None
    assert verdict.is_met is is_met


def test_an_interrupted_round_is_left_out() -> None:
    verdict = judge(COST, {"a/ours": [1.0, 9.0], "a/one": [1.0]})
    assert verdict is not None
    assert (verdict.num_rounds, verdict.ours.high) == (1, 1.0)


def test_a_side_without_a_reading_gives_no_verdict() -> None:
    assert judge(COST, {"a/ours": [1.0]}) is None
    assert judge(COST, {"a/one": [1.0]}) is None
