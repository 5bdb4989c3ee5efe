# SPDX-License-Identifier: Apache-2.0
import lzma
import struct

import pytest

from orchestrator.errors import BuildError
from orchestrator.imaging.kernel import ELF_MAGIC, extract_vmlinux

KERNEL = ELF_MAGIC + bytes(range(256)) * 40


def bz_image(payload: bytes, size: int) -> bytes:
    """A bzImage of one boot sector and one setup sector with a payload."""
    header = bytearray(1024 + 64)
    header[0x1F1] = 1
    header[0x202:0x206] = b"HdrS"
    struct.pack_into("<II", header, 0x248, 64, len(payload) + 4)
    return bytes(header) + payload + struct.pack("<I", size)


def test_the_kernel_comes_out_of_an_xz_image() -> None:
    assert extract_vmlinux(bz_image(lzma.compress(KERNEL), len(KERNEL))) == KERNEL


def test_the_kernel_comes_out_of_a_zstd_image() -> None:
    # A zstd frame with one raw block: magic, descriptor (single segment, 4-byte size), size, block.
    frame = b"\x28\xb5\x2f\xfd\xa0" + struct.pack("<I", len(KERNEL))
    frame += struct.pack("<I", (len(KERNEL) << 3) | 1)[:3] + KERNEL
    assert extract_vmlinux(bz_image(frame, len(KERNEL))) == KERNEL


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (b"", "not a bzImage"),
        (bytes(4096), "not a bzImage"),
        (bz_image(b"\x1f\x8bgzip", 10), "unknown way"),
        (bz_image(lzma.compress(b"not a kernel"), 12), "not an ELF file"),
        (bz_image(b"\x28\xb5\x2f\xfd damaged", 100), "damaged"),
    ],
)
def test_what_is_no_kernel_is_refused(image: bytes, message: str) -> None:
    with pytest.raises(BuildError, match=message):
        extract_vmlinux(image)
