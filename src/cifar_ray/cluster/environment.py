"""Derives the environment of a cluster's processes and clients from the user's."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

from cifar_ray.data.source_name import is_data_word

MARK = "CIFAR_RAY_LOCAL_CLUSTER"
"""Set in every process that the cluster starts, to its temp dir and part: `down` finds orphans by it."""

_SHADOWING = frozenset({"RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_JOB_CONFIG_JSON_ENV_VAR", "RAY_NAMESPACE", "RAY_TMPDIR"})
_FOLDERS = ("CIFAR_RAY_HOME", "CIFAR_RAY_CACHE")
_DATA = "CIFAR_RAY_DATA"
_NO_PROXY = "127.0.0.1,localhost"


def joined(environ: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, str]:
    """`environ` with the cluster's `variables` and without what would shadow them.

    The user's own AWS variables are dropped, and those of Ray that name another cluster. Loopback addresses
    bypass any proxy. Folders of `cifar_ray` are made absolute: jobs run in another directory.
    """
    kept = {name: value for name, value in environ.items() if not name.startswith("AWS_") and name not in _SHADOWING}
    folders = {name: str(Path(kept[name]).expanduser().absolute()) for name in _FOLDERS if kept.get(name)}
    # unlike pathlib's, these leave what cannot be a folder to the job, which says what is wrong with it
    data = os.path.expanduser(kept.get(_DATA) or "/nowhere")
    if not is_data_word(data) and os.path.isdir(data):  # else it is a word or a URI
        folders[_DATA] = str(Path(data).absolute())
    return kept | folders | past_proxy(kept) | dict(variables)


def shell_lines(variables: Mapping[str, str], shadowing: Iterable[str]) -> list[str]:
    """Lines for a shell whose programs are to be the cluster's clients, as those of an environment that is `joined`.

    `shadowing`: names that lead them elsewhere, unless they are among `variables`.
    """
    return [
        *(f"unset {name}" for name in sorted(set(shadowing) - set(variables))),
        # as `past_proxy`, of the shell's own: it need not be the one that this process was started from
        'NO_PROXY="${NO_PROXY:-${no_proxy:-}}"',
        f'export NO_PROXY="${{NO_PROXY:+$NO_PROXY,}}{_NO_PROXY}"',
        'export no_proxy="$NO_PROXY"',
        *(f"export {name}={shlex.quote(value)}" for name, value in variables.items()),
    ]


def past_proxy(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables that let loopback addresses bypass a proxy, besides those that `environ` already exempts."""
    excepted = ",".join(filter(None, (environ.get("NO_PROXY") or environ.get("no_proxy"), _NO_PROXY)))
    return {"NO_PROXY": excepted, "no_proxy": excepted}
