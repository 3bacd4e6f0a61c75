"""The last step before a child's program: become who it shall be, tie its life to the parent's, then exec.

Run as ``python -I -S launch.py SPEC PROGRAM ARG...`` with only the standard library, because forking and then running
Python in the child of a process with threads is not safe. SPEC is JSON:

* ``parent_pid``: who must still be the parent (the signal below is not sent for a parent that died before we asked)
* ``death_signal``: what the kernel sends to the child when the parent dies
* ``user``: null, ``{"namespace": {"uid": U, "gid": G}}`` (a user namespace in which we are U) or ``{"switch": {"uid": U, "gid": G}}``

The order matters: a change of user clears the parent-death signal.
"""

import ctypes
import json
import os
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_CLONE_NEWUSER = 0x10000000
_EXIT_NOT_LAUNCHED = 126


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _enter_namespace(libc: ctypes.CDLL, uid: int, gid: int) -> None:
    outer_uid, outer_gid = os.geteuid(), os.getegid()
    _check(libc.unshare(_CLONE_NEWUSER), "unshare")
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {outer_uid} 1"),
        ("gid_map", f"{gid} {outer_gid} 1"),
    ):
        Path(f"/proc/self/{name}").write_text(text, encoding="ascii")


def _switch_user(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def main() -> None:
    spec = json.loads(sys.argv[1])
    program = sys.argv[2:]
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        user = spec["user"] or {}
        if "namespace" in user:
            _enter_namespace(libc, **user["namespace"])
        elif "switch" in user:
            _switch_user(**user["switch"])
        _check(libc.prctl(_PR_SET_PDEATHSIG, spec["death_signal"], 0, 0, 0), "prctl")
        if os.getppid() != spec["parent_pid"]:
            raise OSError("the parent has gone")
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored where a script started us in the background
        os.execv(program[0], program)
    except OSError as error:
        sys.stderr.write(f"cannot launch {program[0]}: {error}\n")
        sys.exit(_EXIT_NOT_LAUNCHED)


if __name__ == "__main__":
    main()
