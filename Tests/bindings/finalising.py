#!/usr/bin/python3
# finalising.py HELPER - callbacks that come back into an interpreter which is ending. HELPER is finalising.c, compiled.
#
# Proves: an interpreter that ends the threads which come back into it while it is finalised, as CPython up to 3.13 does,
# ends nothing else. A callback of a timeout, the log callback for a stall, a callback on the thread that answers
# signals, and a body are ended so; the next timeout, stall, request and signal come, the task has exited, shutdowns
# join all threads, and the program ends with its own status (P7, C11, C13, E7, O1).
#
# Why it matters: a daemon in Python ends while its timers run; without a new thread nothing of the library's would ever
# pass again, and its last shutdown would not return.
#
# Catches: an event thread, or one that answers signals, that is waited for though the runtime has ended it.

import ctypes
import sys

helper = ctypes.CDLL(sys.argv[1])  # gives the interpreter's lock back while a function of it runs
calls = []


class AtTheEnd:
    """Deleted with the names of the module: no other thread gets the interpreter's lock any more."""

    def __init__(self):
        self.scenario = helper.scenario
        self.is_finalizing = sys.is_finalizing
        self.function = ctypes.CFUNCTYPE(None)(lambda: calls.append("came back"))

    def __del__(self):
        assert self.is_finalizing()
        self.scenario(self.function)


at_the_end = AtTheEnd()
