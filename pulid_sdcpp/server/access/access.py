"""Everything about who may reach a server, decided before it listens anywhere."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ...errors import named, option_error
from ..settings import ServerSettings
from .api_keys import ApiKeys, keys_in_text, read_key_file
from .binding import addresses_to_bind, is_loopback
from .fetch_url import checked_host
from .hosts import HostRules, host_name, host_rules

__all__ = ["KEY_VARIABLE", "Access", "access_of", "fetch_host"]

KEY_VARIABLE = "PULID_SDCPP_API_KEY"


@dataclass(frozen=True)
class Access:
    """Who may reach a server, and what they may do.

    Attributes:
        addresses: Those to listen at, each with every port.
        keys: The keys that are accepted.
        rules: From where requests may come.
        allow_downloads: Whether models may be downloaded.
        fetch_hosts: Hosts from which pictures may be fetched.
    """

    addresses: tuple[str, ...]
    keys: ApiKeys
    rules: HostRules
    allow_downloads: bool
    fetch_hosts: frozenset[str]


def access_of(
    settings: ServerSettings,
    environment: Mapping[str, str] | None = None,
    resolve: Callable[[str], Sequence[str]] | None = None,
) -> Access:
    """What the settings say of that.

    Args:
        settings: Of the server. A key file in them counts, not the variable.
        environment: The variables; None: this process's.
        resolve: Gives the addresses of a name; None: the system does.

    Raises:
        ValueError: A setting is wrong, or others can reach the server, and it has no key.
    """
    variables = os.environ if environment is None else environment
    if settings.api_key_file is not None:
        keys = read_key_file(settings.api_key_file)
    elif text := variables.get(KEY_VARIABLE, "").strip():
        keys = keys_in_text(text, KEY_VARIABLE)
    else:
        keys = ApiKeys()
    addresses = addresses_to_bind(settings.host, has_key=bool(keys), resolve=resolve)
    is_local = all(map(is_loopback, addresses))
    rules = host_rules(
        host=settings.host,
        is_loopback=is_local,
        allow_host=settings.allow_host,
        cors_origin=settings.cors_origin,
        public_url=settings.public_url,
    )
    allowed = is_local if settings.allow_downloads is None else settings.allow_downloads
    fetch_hosts = frozenset(map(fetch_host, settings.allow_fetch))
    return Access(addresses, keys, rules, allowed, fetch_hosts)


def fetch_host(host: str) -> str:
    """A host of `--allow-fetch` as it is compared.

    Raises:
        ValueError: It is an address, or no full name.
    """
    name = host_name("allow_fetch", host)
    try:
        return checked_host(name)
    except ValueError as error:
        raise option_error(f"{named('allow_fetch')}: {error}") from None
