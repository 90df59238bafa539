"""How a process keeps its memory. Importing this sets it; to be imported before anything else.

A batch takes some hundred megabytes and gives them back, and the next one takes them again. The
allocators would return them to the system in between, and the system clears every page anew: some
ten page faults a parcel, a twentieth of all work. They are told to keep them for a while.

Linux with glibc; elsewhere the allocators do as they like.
"""

import ctypes
import os
from contextlib import suppress

_JEMALLOC = "background_thread:true,dirty_decay_ms:30000,muzzy_decay_ms:30000"
"""Of Polars' allocator, which reads it when it is loaded: return what was not used for 30 s."""
_MALLOC = {
    -1: 1 << 29,  # M_TRIM_THRESHOLD: return what is beyond half a gigabyte
    -3: 1 << 25,  # M_MMAP_THRESHOLD: the most that glibc allows
    -8: 2,  # M_ARENA_MAX: threads share what is free
}

os.environ.setdefault("_RJEM_MALLOC_CONF", _JEMALLOC)
with suppress(AttributeError, OSError):
    for _what, _value in _MALLOC.items():
        ctypes.CDLL(None).mallopt(_what, _value)
