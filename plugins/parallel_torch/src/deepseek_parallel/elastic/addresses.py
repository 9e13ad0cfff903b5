"""Addresses of this machine: which of them others reach, and by which interface.

Linux only, as is what cuts connections: read by ioctl and from /proc.
"""

from __future__ import annotations

import array
import fcntl
import ipaddress
import socket
import struct
from pathlib import Path
from typing import Final

from deepseek_core import errors
from deepseek_parallel.elastic import wire

_GET_ADDRESSES: Final = 0x8912  # SIOCGIFCONF
_RECORD_NBYTES: Final = 40  # a struct ifreq: name[16], family, port, IPv4 address, ...
_MOST: Final = 1024  # addresses
_IPV6: Final = Path("/proc/net/if_inet6")
_ON_LINK: Final = ("fe80:", "::ffff:")


def own() -> dict[str, str]:
    """All addresses of this machine, and the interface of each; loopback among them."""
    found = _ipv4()
    if _IPV6.exists():
        for line in _IPV6.read_text().splitlines():
            packed, *_, name = line.split()
            found[str(ipaddress.IPv6Address(bytes.fromhex(packed)))] = name
    return found


def interface_of(address: str) -> str | None:
    """The interface that has an address; None of one that is not this machine's."""
    return own().get(address)


def listen_address(text: str) -> tuple[str, int]:
    """The numeric address and port of HOST:PORT, where other machines are to reach this one.

    Raises:
        ConfigError: it is not HOST:PORT, can't be resolved, is no address of this machine, or one
            that other machines do not reach.
    """
    try:
        host, port = wire.address_of(text)
    except ValueError as error:
        raise errors.ConfigError(
            f"--listen: {error}", remedy=f"--listen {_choice(4300)}"
        ) from error
    address = resolved(host)
    if ipaddress.ip_address(address).is_unspecified:
        raise errors.ConfigError(
            f"--listen {host}: the others must be told one address, and this is all of them",
            remedy=f"--listen {_choice(port)}",
        )
    if interface_of(address) is None:
        raise errors.ConfigError(
            f"--listen {host}: {address} is no address of this machine",
            remedy=f"--listen {_choice(port)}",
        )
    if ipaddress.ip_address(address).is_loopback and host not in (address, "localhost"):
        raise errors.ConfigError(  # as /etc/hosts of Debian has it: 127.0.1.1
            f"--listen {host}: it is {address} here, which no other machine reaches",
            remedy=f"--listen {_choice(port)}",
        )
    return address, port


def resolved(host: str) -> str:
    """The numeric address of a host; IPv4 where it has both.

    Raises:
        ConfigError: it can't be resolved.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise errors.ConfigError(
            f"{host} can't be resolved: {error.strerror}", remedy="give its number, as 10.0.0.5"
        ) from error
    found.sort(key=lambda one: one[0] != socket.AF_INET)
    return str(found[0][4][0])


def joined(host: str, port: int) -> str:
    """HOST:PORT, an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _choice(port: int) -> str:
    """The addresses that others may reach, as they are given."""
    found = [a for a in own() if not ipaddress.ip_address(a).is_loopback]
    return " or ".join(joined(a, port) for a in found if not a.startswith(_ON_LINK)) or (
        f"127.0.0.1:{port}, as this machine has no other address"
    )


def _ipv4() -> dict[str, str]:
    records = array.array("B", bytes(_RECORD_NBYTES * _MOST))
    place, nbytes = records.buffer_info()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        asked = struct.pack("iL", nbytes, place)
        nbytes = struct.unpack("iL", fcntl.ioctl(any_socket, _GET_ADDRESSES, asked))[0]
    told = records.tobytes()[:nbytes]
    found = {}
    for begin in range(0, nbytes, _RECORD_NBYTES):
        name = told[begin : begin + 16].split(b"\0")[0].decode()
        found[socket.inet_ntoa(told[begin + 20 : begin + 24])] = name.split(":")[0]
    return found
