"""Reads a Dockerfile as far as this project's uses it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "Dockerfile"


@dataclass(frozen=True)
class Instruction:
    """One instruction with its continued lines joined."""

    word: str
    text: str

    @property
    def flags(self) -> dict[str, str]:
        """--name=value before the rest; of several of one name, the last."""
        return dict(re.findall(r"--([a-z]+)=(\S+)", self.text))

    @property
    def rest(self) -> str:
        """The text after its flags."""
        return re.sub(r"^(--[a-z]+=\S+\s+)+", "", self.text)


def instructions() -> list[Instruction]:
    """All of the Dockerfile, in order."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [Instruction(*line.split(maxsplit=1)) for line in lines if line.strip()]


def stages() -> list[list[Instruction]]:
    """The instructions by stage, each beginning with its FROM; the first list is what stands before."""
    found: list[list[Instruction]] = [[]]
    for each in instructions():
        if each.word == "FROM":
            found.append([])
        found[-1].append(each)
    return found


def arguments() -> dict[str, str]:
    """The build arguments' defaults."""
    given = [each.text.partition("=") for each in instructions() if each.word == "ARG"]
    return {name: value for name, sign, value in given if sign}
