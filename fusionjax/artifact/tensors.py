"""Reads safetensors by numpy alone: a JSON header, then the bytes of each array.

https://huggingface.co/docs/safetensors describes the format: eight bytes with the length of the
header, little-endian; the header; the data.
"""

import json
import math
from typing import Any

import numpy as np

from fusionjax.errors import InputError

_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "|u1",
    "BOOL": "|b1",
}
_LENGTH = 8  # bytes before the header


def read(content: bytes, name: str) -> dict[str, np.ndarray]:
    """The arrays of a file by their names.

    Args:
      content: of the file.
      name: of the file, for errors.

    Raises:
      InputError: it is not a whole file of this format.
    """
    try:
        size = int.from_bytes(content[:_LENGTH], "little")
        header, data = content[_LENGTH : _LENGTH + size], content[_LENGTH + size :]
        entries = json.loads(header.decode())
        entries.pop("__metadata__", None)
        return {key: _array(entry, data) for key, entry in entries.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise InputError(f"{name}: is no whole safetensors file ({e}); export the run again") from e


def _array(entry: dict[str, Any], data: bytes) -> np.ndarray:
    dtype, shape = np.dtype(_DTYPES[entry["dtype"]]), tuple(int(n) for n in entry["shape"])
    start, end = (int(n) for n in entry["data_offsets"])
    if min((start, *shape), default=0) < 0 or end > len(data):
        raise ValueError("an array lies outside the file")
    if end - start != math.prod(shape) * dtype.itemsize:
        raise ValueError("an array has another size than its shape")
    return np.frombuffer(data[start:end], dtype).reshape(shape)
