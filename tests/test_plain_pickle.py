import pickle

import pytest

from cifar_ray.plain_pickle import check_pickle


@pytest.mark.parametrize("protocol", range(6))
def test_values_that_are_each_there_once_pass(protocol: int) -> None:
    name = "a text that is noted"
    value = [{"a": (1, 2.5), name: [True, None, 1 << 80]}, {name: b"bytes", "b": ((1,), ((2,),))}]
    check_pickle(pickle.dumps(value, protocol), may_repeat={"REDUCE"})


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("value", [[1], (1, 2), {"a": 1}, frozenset({1}), {2}])
def test_a_container_that_is_meant_twice_is_refused(value: object, protocol: int) -> None:
    if isinstance(value, set | frozenset) and protocol < 4:
        pytest.skip("a call, which whoever unpickles refuses")
    with pytest.raises(pickle.UnpicklingError, match="means it twice"):
        check_pickle(pickle.dumps([value, value], protocol))


@pytest.mark.parametrize(
    "content",
    [
        b")]0q\x00h\x00\x86.",  # noted after what lay on it is gone
        b")q\x01NbX\x00\x00\x00\x000q\x00h\x00\x86.",
        b")Nbq\x00h\x00\x86.",  # after a call that changes nothing
        b")\x94h\x00\x86.",
        b"h\x07.",
        b")2\x86.",  # without a note
        b")\x94X\x00\x00\x00\x00\x94h\x00\x87.",  # the second of two notes is of a text
    ],
)
def test_no_way_around(content: bytes) -> None:
    with pytest.raises(pickle.UnpicklingError, match="means it twice"):
        check_pickle(content)
