import base64
import hashlib
import re
import tomllib
from pathlib import Path

from cifar_ray.reporting.html import SCRIPTS, file_page, live_page

PAGE = Path(__file__).parents[2] / "src/cifar_ray/reporting/page"


def test_the_vendored_library_is_the_one_that_is_written_down() -> None:
    digest = hashlib.sha256((PAGE / "vendor/echarts.min.js").read_bytes()).hexdigest()
    assert digest in (PAGE / "vendor/README.md").read_text()
    assert "Apache License" in (PAGE / "vendor/echarts.LICENSE").read_text()


def test_every_script_is_in_the_page_and_short() -> None:
    assert {path.name for path in PAGE.glob("*.js")} == set(SCRIPTS)
    for path in [*PAGE.glob("*.js"), *PAGE.glob("*.css")]:
        assert path.read_text().count("\n") < 300, path.name


def test_nothing_in_the_data_ends_the_script() -> None:
    page = file_page({"name": "</script><script>alert(1)</script><!--"})
    assert "</script><script>alert" not in page
    assert page.count("<script") == live_page().count("<script")


def test_the_policy_allows_the_pages_own_scripts_alone() -> None:
    page = live_page()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', page)
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert len(scripts) == 2
    for script in scripts:
        assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in policy
    assert "unsafe" not in policy
    assert "connect-src 'none'" in file_page({})


def test_the_wheel_takes_the_page_along() -> None:
    build = tomllib.loads((PAGE.parents[3] / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert build == {"targets": {"wheel": {"packages": ["src/cifar_ray"]}}}  # everything below it, whatever its kind
