"""Which addresses may be read. A name is resolved once and the address it gave is connected to.

Otherwise a name could answer with a harmless address when it is checked and with an inner one when
it is connected to, or a target could redirect to the metadata service of a cloud.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from optiinfra.domain.errors import InputError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]

# addresses of IPv6 that lead to addresses of IPv4 which cannot be seen in the check
_TRANSLATED = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("2002::/16"))


class AddressError(Exception):
    """An address that may not be read, or a name without one."""

    def __init__(self, message: str, *, is_refused: bool) -> None:
        super().__init__(message)
        self.is_refused = is_refused


async def resolve(host: str, port: int) -> Sequence[str]:
    """Every address of a name, in the order the system prefers."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


@dataclass(frozen=True, slots=True)
class AddressRules:
    """Public addresses may be read, others only within `networks`.

    `redirect_hosts` are names to which a target of another name may redirect.
    """

    networks: tuple[Network, ...] = ()
    redirect_hosts: frozenset[str] = frozenset()
    resolver: Resolver = field(default=resolve)

    def allows(self, address: Address) -> bool:
        """Whether an address may be connected to."""
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if any(address.version == net.version and address in net for net in self.networks):
            return True
        is_hidden = any(net.version == address.version and address in net for net in _TRANSLATED)
        return address.is_global and not address.is_multicast and not is_hidden

    async def find_address(self, host: str, port: int) -> str:
        """The address to connect to: the first one of the name, if every one of it is allowed.

        Raises:
            AddressError: the name has no address, or one that may not be read.
        """
        try:
            texts = [str(ipaddress.ip_address(host))]
        except ValueError:
            try:
                texts = list(await self.resolver(host, port))
            except (OSError, UnicodeError) as error:
                raise AddressError(f"{host} cannot be resolved", is_refused=False) from error
        if not texts:
            raise AddressError(f"{host} has no address", is_refused=False)
        for text in texts:
            if not self.allows(ipaddress.ip_address(text.partition("%")[0])):
                raise AddressError(
                    f"{host} is {text}, which `allow_networks` does not hold", is_refused=True
                )
        return texts[0]


def read_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Networks as `10.0.0.0/8` or single addresses.

    Raises:
        InputError: one of them is neither.
    """
    networks = []
    for text in texts:
        try:
            networks.append(ipaddress.ip_network(text))
        except ValueError as error:
            raise InputError(
                f"{text[:80]!r} is not a network.",
                remedy="Write 10.0.0.0/8, fd00::/8 or a single address.",
                field="allow_networks",
            ) from error
    return tuple(networks)
