"""Where downloads may come from: the one rule.

1. A request goes to an address of data/registry.yaml, over https, or over http where the registry
   itself says http.
2. A redirect to the same host, or to another host that the registry names for the same file, is
   followed. One to any other host is followed only where a hash is known beforehand (of the
   registry, of the Dataverse or of the first download), which then decides whether the file is the
   right one.
3. No redirect leads from https to http, or to anything but http and https.
4. What arrives is written to NAME.part. It gets its name when its size and its hash are right.
"""

from collections.abc import Collection
from typing import Any

import requests
from urllib3.util import parse_url  # as requests reads addresses; urllib reads some otherwise


class Refused(Exception):
    """A source that will not deliver the file; the next one is tried."""


class Session(requests.Session):
    """One download; redirects that the rule above does not allow raise `Refused`.

    ``named`` are the addresses of the registry for what is asked. ``hashed`` says whether a hash is
    known beforehand.
    """

    def __init__(self, named: Collection[str], hashed: bool):
        super().__init__()
        self.hosts, self.hashed = {parse_url(url).host for url in named}, hashed
        self.scheme: str | None = None  # of the request before

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Sends a request; requests calls it for every redirect, too."""
        to = parse_url(request.url)
        if self.scheme is not None:
            self._check(to.scheme, to.host)
        self.scheme = to.scheme
        return super().send(request, **options)

    def _check(self, scheme: str | None, host: str | None) -> None:
        """Raises `Refused` where a redirect is not followed."""
        if scheme not in ("http", "https") or (self.scheme, scheme) == ("https", "http"):
            raise Refused(f"leads from {self.scheme} to {scheme}, which is not followed")
        if not self.hashed and host not in self.hosts:
            cure = "if it is right, name its address or a hash in data/registry.yaml"
            raise Refused(f"leads to another host, {host}, and no hash is known; {cure}")
