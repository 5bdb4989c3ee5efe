# SPDX-License-Identifier: Apache-2.0
"""The shared library ringbed-sockets (dataplane/sockets/sockets.h) for Python."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Callable

_OUTPUT = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint8), ctypes.c_size_t)
NEVER = (1 << 64) - 1


class Instance:
    """One host. `output` gets every packet; it must not call the instance."""

    def __init__(
        self, path: str, settings: str, output: Callable[[bytes], None], now_ns: int = 0
    ) -> None:
        self._library = library = ctypes.CDLL(path)
        library.rbs_new.restype = ctypes.c_void_p
        library.rbs_new.argtypes = (
            ctypes.c_char_p,
            _OUTPUT,
            ctypes.c_void_p,
            ctypes.c_uint64,
            ctypes.c_char_p,
            ctypes.c_size_t,
        )
        library.rbs_deadline_ns.restype = ctypes.c_uint64
        library.rbs_counter.restype = ctypes.c_uint64
        library.rbs_read.restype = library.rbs_write.restype = ctypes.c_ssize_t
        # kept: the library calls it for as long as the instance lives
        self._output = _OUTPUT(lambda _, data, length: output(ctypes.string_at(data, length)))
        why = ctypes.create_string_buffer(128)
        made = library.rbs_new(settings.encode(), self._output, None, now_ns, why, len(why))
        if made is None:
            raise ValueError(why.value.decode())
        self.handle = ctypes.c_void_p(made)

    def delete(self) -> None:
        self._library.rbs_delete(self.handle)

    def input(self, packet: bytes) -> None:
        self.check(self._library.rbs_input(self.handle, packet, ctypes.c_size_t(len(packet))))

    def advance(self, now_ns: int) -> None:
        self._library.rbs_advance(self.handle, ctypes.c_uint64(now_ns))

    def deadline_ns(self) -> int:
        return int(self._library.rbs_deadline_ns(self.handle))

    def counter(self, name: str) -> int:
        return int(self._library.rbs_counter(self.handle, name.encode()))

    def call(self, name: str, *arguments: object) -> int:
        return self.check(getattr(self._library, name)(self.handle, *arguments))

    @staticmethod
    def check(status: int) -> int:
        if status < 0:
            raise OSError(-status, os.strerror(-status))
        return int(status)


class Socket:
    """What socket.socket offers, as far as tests need it: IPv4, never blocking."""

    def __init__(self, instance: Instance, fd: int | None = None) -> None:
        self._instance = instance
        made = (
            instance.call("rbs_socket", socket.AF_INET, socket.SOCK_STREAM, 0) if fd is None else fd
        )
        self.fd = made

    @staticmethod
    def _address(address: tuple[str, int]) -> tuple[bytes, ctypes.c_uint32]:
        host = socket.inet_aton(address[0])
        packed = struct.pack("=H", socket.AF_INET) + struct.pack(">H4s8x", address[1], host)
        return packed, ctypes.c_uint32(len(packed))

    def bind(self, address: tuple[str, int]) -> None:
        self._instance.call("rbs_bind", self.fd, *self._address(address))

    def listen(self, backlog: int) -> None:
        self._instance.call("rbs_listen", self.fd, backlog)

    def accept(self) -> tuple[Socket, None]:
        return Socket(self._instance, self._instance.call("rbs_accept", self.fd, None, None)), None

    def connect_ex(self, address: tuple[str, int]) -> int:
        try:
            return self._instance.call("rbs_connect", self.fd, *self._address(address))
        except OSError as error:
            return error.errno or errno.EINVAL

    def recv(self, size: int) -> bytes:
        buffer = ctypes.create_string_buffer(size)
        got = self._instance.call("rbs_read", self.fd, buffer, ctypes.c_size_t(size))
        return buffer.raw[:got]

    def send(self, data: bytes) -> int:
        return self._instance.call("rbs_write", self.fd, data, ctypes.c_size_t(len(data)))

    def shutdown(self, how: int) -> None:
        self._instance.call("rbs_shutdown", self.fd, how)

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        packed = struct.pack("i", value) if isinstance(value, int) else value
        size = ctypes.c_uint32(len(packed))
        self._instance.call("rbs_setsockopt", self.fd, level, option, packed, size)

    def getsockopt(self, level: int, option: int) -> int:
        value, size = ctypes.c_int(), ctypes.c_uint32(4)
        self._instance.call(
            "rbs_getsockopt", self.fd, level, option, ctypes.byref(value), ctypes.byref(size)
        )
        return value.value

    def close(self) -> None:
        self._instance.call("rbs_close", self.fd)
