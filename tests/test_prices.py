"""The table of prices."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cifar_ray.errors import ConfigurationError
from cifar_ray.prices import MARKETS, read_prices

GOOD = 'currency = "USD"\n[A100]\non_demand = 4\nspot = 1.5\n[CPU]\non_demand = 0.05\n'


def test_a_table(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(GOOD)
    prices = read_prices(path)
    assert prices.currency == "USD"
    found = [prices.rate(*row) for row in (("A100", "on_demand"), ("A100", "spot"), ("CPU", "spot"), ("H100", "spot"))]
    assert found == [4.0, 1.5, None, None]


@pytest.mark.usefixtures("ascii_locale")
def test_a_table_is_utf_8_whatever_the_locale(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_bytes(f"# je Stunde, für 1 €\n{GOOD}".encode())
    assert read_prices(path).rate("CPU", "on_demand") == 0.05


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "currency is None"),
        ("currency = 1\n", "currency is 1"),
        ('currency = "USD"\n', "there is no price"),
        ('currency = "USD"\nA100 = 3\n', "A100 is 3"),
        ('currency = "USD"\n[A100]\nspott = 3\n', "A100.spott is no market"),
        ('currency = "USD"\n[A100]\nspot = -1\n', "A100.spot is -1"),
        ('currency = "USD"\n[A100]\nspot = true\n', "A100.spot is True"),
        ('currency = "USD"\n[A100]\nspot = nan\n', "A100.spot is nan"),
        ('currency = "USD"\n[A100]\nspot = "1"\n', "A100.spot is '1'"),
        ("[[[", "line 1"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=says):
        read_prices(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"CIFAR_RAY_PRICES.*No such file"):
        read_prices(tmp_path / "no.toml")


@given(st.one_of(st.text(), st.binary(), st.lists(st.sampled_from(GOOD.splitlines())).map("\n".join)))
def test_whatever_a_file_holds(tmp_path_factory: pytest.TempPathFactory, content: str | bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode(errors="surrogatepass"))
    with suppress(ConfigurationError):
        prices = read_prices(path)
        assert all(market in MARKETS and rate >= 0 for (_, market), rate in prices.rates.items())
