"""A member of a zip, also one that is compressed with zstd (method 93), which `zipfile` before Python 3.14 cannot read.

Inspect writes its `.eval` logs that way. The local header is read by hand (APPNOTE.TXT, 4.3.7); size and checksum of
the central directory are kept to.
"""

from __future__ import annotations

import struct
import zipfile
import zlib

__all__ = ["ZstdMissingError", "read_member"]

ZSTD = 93
_LOCAL = struct.Struct("<4s5H3I2H")


class ZstdMissingError(Exception):
    """The member is compressed with zstd, and the extra is not installed."""


def read_member(archive: zipfile.ZipFile, name: str, bytes_max: int) -> bytes:
    """The member's bytes.

    Raises:
        ZstdMissingError: see there.
        zipfile.BadZipFile: it is damaged, or larger than `bytes_max`.
    """
    info = archive.getinfo(name)
    if info.file_size > bytes_max:
        raise zipfile.BadZipFile(f"{name} has {info.file_size} bytes, allowed {bytes_max}")
    if info.compress_type != ZSTD:
        return archive.read(name)
    try:
        import zstandard  # late: an extra, and only for these logs
    except ModuleNotFoundError as error:
        raise ZstdMissingError from error
    file = archive.fp
    if file is None:
        raise zipfile.BadZipFile("the archive is closed")
    file.seek(info.header_offset)
    head = _LOCAL.unpack(file.read(_LOCAL.size))
    file.seek(head[9] + head[10], 1)
    packed = file.read(info.compress_size)
    try:
        data: bytes = zstandard.ZstdDecompressor().decompressobj().decompress(packed)
    except zstandard.ZstdError as error:
        raise zipfile.BadZipFile(f"{name}: {error}") from error
    if len(data) != info.file_size or zlib.crc32(data) != info.CRC:
        raise zipfile.BadZipFile(f"{name}: size or checksum is wrong")
    return data
