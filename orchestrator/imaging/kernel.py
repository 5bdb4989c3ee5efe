# SPDX-License-Identifier: Apache-2.0
"""Takes the uncompressed kernel out of a bzImage.

QEMU enters an ELF kernel with a PVH note directly. That saves the kernel's own decompressor, which
takes three seconds of an emulated CPU. The price: the kernel is not moved to a random address.

The layout is that of the Linux boot protocol (Documentation/arch/x86/boot.rst).
"""

import ctypes
import lzma
import struct

from orchestrator.errors import BuildError

SETUP_SECTORS = 0x1F1
SIGNATURE = 0x202
PAYLOAD = 0x248
SECTOR = 512
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
XZ_MAGIC = b"\xfd7zXZ\0"
ELF_MAGIC = b"\x7fELF"


def extract_vmlinux(image: bytes) -> bytes:
    """The ELF kernel inside a bzImage. Raises BuildError when there is none."""
    if len(image) < PAYLOAD + 8 or image[SIGNATURE : SIGNATURE + 4] != b"HdrS":
        raise BuildError("the kernel is not a bzImage", hint="is it for x86-64?")
    offset, length = struct.unpack_from("<II", image, PAYLOAD)
    start = (image[SETUP_SECTORS] + 1) * SECTOR + offset
    payload = image[start : start + length]
    # The build appends the size of the uncompressed kernel.
    (size,) = struct.unpack("<I", payload[-4:])
    if payload.startswith(ZSTD_MAGIC):
        kernel = _zstd(payload[:-4], size)
    elif payload.startswith(XZ_MAGIC):
        kernel = lzma.decompress(payload[:-4])
    else:
        raise BuildError(f"the kernel is compressed in an unknown way ({payload[:6].hex()})")
    if not kernel.startswith(ELF_MAGIC):
        raise BuildError("the decompressed kernel is not an ELF file")
    return kernel


def _zstd(data: bytes, size: int) -> bytes:
    """Python 3.13 has no zstd. libzstd is there because Debian's dpkg needs it."""
    try:
        library = ctypes.CDLL("libzstd.so.1")
    except OSError as error:
        raise BuildError(f"cannot decompress the kernel: {error}") from error
    library.ZSTD_decompress.restype = ctypes.c_size_t
    library.ZSTD_decompress.argtypes = (
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_char_p,
        ctypes.c_size_t,
    )
    buffer = ctypes.create_string_buffer(size)
    written = library.ZSTD_decompress(buffer, size, data, len(data))
    if written != size:
        raise BuildError("cannot decompress the kernel: its zstd stream is damaged")
    return buffer.raw
