"""What may leave this machine: whether a host is this machine, what a run would send, consent and the cap on calls."""

from __future__ import annotations

import ipaddress
import json
import logging
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

from kt_lib.errors import ConsentRequired, ModelError
from kt_lib.records import Record, Request

log = logging.getLogger(__name__)

CHARACTERS_PER_TOKEN = 4
"""A token of a byte-pair vocabulary holds about four characters of English or JSON."""


class Estimate(Record):
    """What a set of requests would send and could get back."""

    calls: int
    """Requests."""
    prompt_tokens: int
    """Tokens to read, estimated from characters."""
    completion_tokens: int
    """Most tokens to write: the sum of `max_tokens`."""

    def __str__(self) -> str:
        return (
            f"{self.calls:,} calls, about {self.prompt_tokens:,} tokens to read"
            f" and at most {self.completion_tokens:,} to write"
        )


def estimate(requests: Sequence[Request]) -> Estimate:
    """Calls and tokens of `requests`, before anything is sent."""
    return Estimate(
        calls=len(requests),
        prompt_tokens=sum(prompt_tokens(request) for request in requests),
        completion_tokens=sum(request.decoding.max_tokens for request in requests),
    )


def prompt_tokens(request: Request) -> int:
    """Tokens the prompt of `request` takes, estimated from the characters of its messages and tools."""
    written = sum(len(message.content) for message in request.messages)
    written += sum(len(json.dumps(call.arguments)) for message in request.messages for call in message.tool_calls)
    written += sum(len(tool.name + tool.description + json.dumps(tool.parameters)) for tool in request.tools)
    return written // CHARACTERS_PER_TOKEN + 1


def host_of(address: str) -> str:
    """The host in a server's address (`http://HOST:PORT/path`); `ModelError` when there is none."""
    try:
        host = urlsplit(address).hostname
    except ValueError:
        host = None
    if not host:
        raise ModelError(f"{address!r} is no server address: write it as http://HOST:PORT")
    return host


def is_this_machine(host: str) -> bool:
    """Whether every address that `host` resolves to is this machine: loopback, or one of its own interfaces.

    Names are resolved and never trusted: a `localhost` that points elsewhere is elsewhere. `ModelError` when the name
    cannot be resolved.
    """
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError) as error:
        raise ModelError(f"the host {host!r} cannot be found ({error}): check the server's address") from None
    return all(_is_own(ipaddress.ip_address(address.partition("%")[0])) for address in found)


def _is_own(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    # 0.0.0.0 and :: are what servers are told to listen on; connecting there reaches this machine
    return address.is_loopback or address.is_unspecified or address in _interface_addresses()


def _interface_addresses() -> set[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    import psutil

    return {
        ipaddress.ip_address(entry.address.partition("%")[0])
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family in (socket.AF_INET, socket.AF_INET6)
    }


class Allowance:
    """Consent and cap for one opened model; `take` is asked before anything is sent.

    host: the host that would be reached, None when it is this machine (then everything is allowed).
    allowed: consent given for this run. max_calls: most requests to send, None for no cap; a retry is not counted.
    """

    def __init__(self, host: str | None, *, allowed: bool, max_calls: int | None) -> None:
        self.host = host
        self.allowed = allowed
        self.max_calls = max_calls
        self.calls = 0

    def take(self, requests: Sequence[Request]) -> None:
        """Count `requests` as sent; `ConsentRequired` when consent is missing or the cap would be passed."""
        if self.host is None:
            return
        planned = estimate(requests)
        if not self.allowed:
            raise ConsentRequired(
                f"{self.host} is not this machine, and {planned} would go there:"
                " give consent for this run with --allow-remote (e-mail addresses, phone numbers, keys and tokens are"
                " taken out first)"
            )
        if self.max_calls is not None and self.calls + planned.calls > self.max_calls:
            raise ConsentRequired(
                f"{planned.calls:,} calls to {self.host} after {self.calls:,} would pass the cap of"
                f" {self.max_calls:,}; nothing of them was sent: raise max_calls (-p max_calls=N) or use fewer tasks"
            )
        self.calls += planned.calls
        log.info("sending %s to %s", planned, self.host)

    def check(self) -> None:
        """`ConsentRequired` when even a question without any text (which models are there?) may not be sent."""
        if self.host is not None and not self.allowed:
            raise ConsentRequired(
                f"{self.host} is not this machine: give consent for this run with --allow-remote before it is contacted"
            )
