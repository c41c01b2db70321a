"""Checks that the Jobs API answers with the token, and refuses without: check_dashboard.py ADDRESS."""

import os
import sys
import urllib.error
import urllib.request


def status(address: str, token: str | None) -> int:
    request = urllib.request.Request(f"{address}/api/jobs/")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def check(address: str, token: str | None) -> None:
    wanted = {token: 200} | ({None: 401, "wrong" * 8: 403} if token else {})
    for given, code in wanted.items():
        kind = "no token" if given is None else "the token" if given == token else "a wrong token"
        found = status(address, given)
        print(f"{address} with {kind}: {found}")
        if found != code:
            sys.exit(f"expected {code}")


if __name__ == "__main__":
    check(sys.argv[1], os.environ.get("RAY_AUTH_TOKEN"))
