"""Starts a process for each index that is read, and hears what it found."""

import asyncio
import os
import sys
from typing import Final

import msgspec

from streams.threads import ended
from streams.uploads.child import Fault, ReadTask, Reply

_decode: Final = msgspec.json.Decoder[Reply](Reply).decode


async def read_in_child(task: ReadTask, timeout_s: float) -> Reply:
    """Read one index. A process that dies, or takes longer than ``timeout_s``, is a ``Fault``. Cancelled, it ends the process."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "streams.uploads.child",
        str(os.getpid()),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        answer, _ = await asyncio.wait_for(process.communicate(msgspec.json.encode(task)), timeout_s)
    except TimeoutError:
        return Fault("timeout", f"the index was not read within {timeout_s:g} s")
    finally:
        if process.returncode is None:
            process.kill()
            await ended(asyncio.ensure_future(process.wait()))
    try:
        reply: Reply = _decode(answer)
        return reply
    except msgspec.MsgspecError:
        return Fault("reader-died", f"the process that read the index ended with code {process.returncode}")
