# SPDX-License-Identifier: Apache-2.0
"""Network namespaces and devices of a test's own, without any program but this one.

Everything hangs on this process and its children: when they are gone, so are the namespaces and
the devices in them. Works as root, and where an ordinary user may make user namespaces.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import sys
from ipaddress import ip_interface
from pathlib import Path

SKIP = 77  # the exit status by which meson knows a skipped test

_RTM_NEWLINK, _RTM_DELLINK, _RTM_NEWADDR, _NLMSG_ERROR = 16, 17, 20, 2
_NLM_REQUEST_ACK, _NLM_CREATE_EXCL = 0x5, 0x600
_IFLA_IFNAME, _IFLA_LINKINFO, _IFLA_AF_SPEC, _IFLA_NET_NS_FD = 3, 18, 26, 28
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _VETH_INFO_PEER = 1, 2, 1
_IFLA_INET6_ADDR_GEN_MODE, _ADDR_GEN_NONE = 8, 1
_IFA_LOCAL_AND_ADDRESS = (2, 1)
_IFA_F_NODAD = 0x02
_IFF_UP = 1
_RTM_NEWNEIGH, _RTM_DELNEIGH, _NUD_PERMANENT, _NDA_DST, _NDA_LLADDR = 28, 29, 0x80, 1, 2
_SIOCETHTOOL = 0x8946
# checksums, scatter/gather, TCP segmentation, generic segmentation and receive offload: frames
# shall leave as a wire has them
_ETHTOOL_OFF = (0x17, 0x19, 0x1F, 0x24, 0x2C)


class Unavailable(Exception):
    """There can be no network namespace here, for the reason given."""


def enter() -> None:
    """Moves this process into a network namespace of its own."""
    user, group = os.geteuid(), os.getegid()
    try:
        try:
            os.unshare(os.CLONE_NEWNET)
        except PermissionError:
            os.unshare(os.CLONE_NEWUSER | os.CLONE_NEWNET)
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"0 {user} 1")
            Path("/proc/self/gid_map").write_text(f"0 {group} 1")
        _answer_for_own_only()
        add_veth("probe0", "probe1")
    except OSError as error:
        raise Unavailable(f"no network namespace with devices: {error}") from error


def enter_or_skip() -> None:
    try:
        enter()
    except Unavailable as error:
        print(f"skipped: {error}", file=sys.stderr)
        sys.exit(SKIP)


def current() -> int:
    """A file descriptor of the network namespace of this thread."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def make() -> int:
    """A further network namespace, as a file descriptor; this process stays where it is."""
    here = current()
    os.unshare(os.CLONE_NEWNET)
    made = current()
    _answer_for_own_only()
    os.setns(here, os.CLONE_NEWNET)
    os.close(here)
    return made


def _answer_for_own_only() -> None:
    """Of this namespace, no device answers ARP for another one's address. Else both ends of a
    bridge would, and what is meant for the far one could go around the bridge."""
    Path("/proc/sys/net/ipv4/conf/all/arp_ignore").write_text("1")


def _attribute(kind: int, data: bytes) -> bytes:
    size = 4 + len(data)
    return struct.pack("HH", size, kind) + data + bytes(-size % 4)


def _netlink(kind: int, flags: int, body: bytes) -> None:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        flags |= _NLM_REQUEST_ACK
        netlink.send(struct.pack("IHHII", 16 + len(body), kind, flags, 1, 0) + body)
        answer = netlink.recv(65536)
    error = struct.unpack_from("i", answer, 16)[0]
    if error != 0:
        raise OSError(-error, os.strerror(-error))


def _link(index: int = 0, flags: int = 0) -> bytes:
    return struct.pack("BxHiII", 0, 0, index, flags, flags)


def add_veth(name: str, peer: str, peer_namespace: int | None = None) -> None:
    """A pair of devices: what goes into one comes out of the other."""
    other = _link() + _attribute(_IFLA_IFNAME, peer.encode() + b"\0")
    if peer_namespace is not None:
        other += _attribute(_IFLA_NET_NS_FD, struct.pack("I", peer_namespace))
    info = _attribute(_IFLA_INFO_KIND, b"veth\0")
    info += _attribute(_IFLA_INFO_DATA, _attribute(_VETH_INFO_PEER, other))
    body = _link() + _attribute(_IFLA_IFNAME, name.encode() + b"\0")
    _netlink(_RTM_NEWLINK, _NLM_CREATE_EXCL, body + _attribute(_IFLA_LINKINFO, info))


def set_up(name: str) -> None:
    """Switches a device on, without offloads and without saying anything on its own."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for command in _ETHTOOL_OFF:
            _ethtool(control, name, struct.pack("II", command, 0))
    index = socket.if_nametoindex(name)
    quiet = _attribute(_IFLA_INET6_ADDR_GEN_MODE, bytes([_ADDR_GEN_NONE]))
    quiet = _attribute(_IFLA_AF_SPEC, _attribute(socket.AF_INET6, quiet))
    _netlink(_RTM_NEWLINK, 0, _link(index) + quiet)
    switch_on(name)


def switch_on(name: str) -> None:
    """As it is."""
    _netlink(_RTM_NEWLINK, 0, _link(socket.if_nametoindex(name), _IFF_UP))


def remove(name: str) -> None:
    """With its peer, if it has one."""
    _netlink(_RTM_DELLINK, 0, _link(socket.if_nametoindex(name)))


def switch_off(name: str) -> None:
    """The other end of a cable loses its carrier."""
    body = struct.pack("BxHiII", 0, 0, socket.if_nametoindex(name), 0, _IFF_UP)
    _netlink(_RTM_NEWLINK, 0, body)


def _ethtool(control: socket.socket, name: str, value: bytes) -> None:
    buffer = ctypes.create_string_buffer(value, len(value))
    request = struct.pack("16sP16x", name.encode(), ctypes.addressof(buffer))
    fcntl.ioctl(control, _SIOCETHTOOL, request)


def add_address(name: str, text: str) -> None:
    """An address with its prefix length, usable at once."""
    interface = ip_interface(text)
    family = socket.AF_INET if interface.version == 4 else socket.AF_INET6
    body = struct.pack(
        "BBBBI",
        family,
        interface.network.prefixlen,
        _IFA_F_NODAD if interface.version == 6 else 0,
        0,
        socket.if_nametoindex(name),
    )
    for kind in _IFA_LOCAL_AND_ADDRESS:
        body += _attribute(kind, interface.ip.packed)
    _netlink(_RTM_NEWADDR, _NLM_CREATE_EXCL, body)


def add_neighbour(name: str, address: str, mac: bytes) -> None:
    """An entry that stays."""
    family = socket.AF_INET if "." in address else socket.AF_INET6
    body = struct.pack("BxxxiHBB", family, socket.if_nametoindex(name), _NUD_PERMANENT, 0, 0)
    body += _attribute(_NDA_DST, socket.inet_pton(family, address))
    _netlink(_RTM_NEWNEIGH, _NLM_CREATE_EXCL, body + _attribute(_NDA_LLADDR, mac))


def forget_neighbour(name: str, address: str) -> None:
    """It will be asked for again."""
    family = socket.AF_INET if "." in address else socket.AF_INET6
    body = struct.pack("BxxxiHBB", family, socket.if_nametoindex(name), 0, 0, 0)
    with contextlib.suppress(FileNotFoundError):
        _netlink(_RTM_DELNEIGH, 0, body + _attribute(_NDA_DST, socket.inet_pton(family, address)))
