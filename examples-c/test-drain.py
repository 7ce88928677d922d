#!/usr/bin/env python3
"""test-drain.py - stop 06-service under load, and check that it drains, aborts, and keeps its journal.

    python3 test-drain.py path/to/06-service [ROUNDS [SIGNAL_ROUNDS]]

Proves: SIGTERM with 24 requests under way: all 24 are answered; a server that hangs behind the service: the client is
told within the abort grace after the deadline, and its connection ends in order; two SIGTERMs 300 ms apart: the
journal has every change that was accepted (C13, C15, C16, J4).
Why it matters: it is what a server stops for.
Catches: a wait of a draining task that ends by the flag; an abort that reaches nobody; a journal that is cut off.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

CLIENTS = 24
LIMIT = 60  # seconds for anything, on a busy machine


class Service:
    def __init__(self, program, *options):
        self.process = subprocess.Popen([program, "--port", "0", *options], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().rsplit(":", 1)[1])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)

    def finish(self):
        out, err = self.process.communicate(timeout=LIMIT)
        return self.process.returncode, out, err

    def connect(self):
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT)
        return connection, connection.makefile("r")


class Upstream:
    """A server that takes requests, and answers all of them when it is told to."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=CLIENTS)
        self.port = self.socket.getsockname()[1]
        self.waiting = []

    def accept(self, count):
        """Accepts `count` connections, and reads a request from each."""
        self.socket.settimeout(LIMIT)
        for _ in range(count):
            connection, _ = self.socket.accept()
            line = connection.makefile("r").readline()
            assert line.startswith("GET "), line
            self.waiting.append((connection, line[4:]))

    def answer(self):
        for connection, key in self.waiting:
            connection.sendall(("value of " + key).encode())

    def close(self):
        for connection, _ in self.waiting:
            connection.close()
        self.socket.close()


def check(condition, text, *seen):
    if not condition:
        sys.exit("FAILED: " + text + "".join("\n--- " + str(one) for one in seen))


def all_answers_complete(program):
    service, upstream = Service(program, "--grace", "50000"), Upstream()
    clients = [service.connect() for _ in range(CLIENTS)]
    for number, (client, _) in enumerate(clients):
        client.sendall(f"FETCH {upstream.port} key{number}\n".encode())
    upstream.accept(CLIENTS)
    service.stop()
    while True:  # the listener has closed its socket
        try:
            service.connect()[0].close()
        except OSError:
            break
        time.sleep(0.002)
    upstream.answer()
    for number, (_, lines) in enumerate(clients):
        answer = lines.read()
        check(answer == f"value of key{number}\n", f"the answer to request {number}", answer)
    status, out, err = service.finish()
    check(status == 0 and "shutdown: graceful" in out, "the end of the service", out, err)
    upstream.close()


def a_hung_upstream_is_aborted(program):
    grace = 0.4
    service, upstream = Service(program, "--grace", str(int(grace * 1000))), Upstream()
    client, lines = service.connect()
    client.sendall(f"FETCH {upstream.port} never\n".encode())
    upstream.accept(1)
    service.stop()
    start = time.monotonic()
    answer = lines.read()  # to the end: a connection that is reset raises an exception
    took = time.monotonic() - start
    client.close()
    check(answer == "ERROR the service is stopping\n", "what the client is told", answer)
    # Phase 1 has a part of the grace; at its end the last phases are asked, at the deadline all are told to abort.
    check(took > 0.9 * grace, "the request was dropped before the deadline", took)
    status, out, err = service.finish()
    took = time.monotonic() - start
    check(took < LIMIT / 2, "the end of the service", took, out, err)
    check("(aborted 1, abandoned 0)" in out, "the report", out, err)
    check(status == 124, "the exit status", status, out)
    upstream.close()


def the_journal_is_complete(program):
    with tempfile.TemporaryDirectory() as folder:
        journal = os.path.join(folder, "journal")
        service, upstream = Service(program, "--grace", "50000", "--journal", journal), Upstream()
        hung, hung_lines = service.connect()
        hung.sendall(f"FETCH {upstream.port} never\n".encode())
        upstream.accept(1)
        accepted, ready = [[] for _ in range(4)], threading.Semaphore(0)

        def change(number):
            connection, lines = service.connect()
            for i in range(1000000):
                line = f"SET key{number}.{i} value{i}"
                try:
                    connection.sendall((line + "\n").encode())
                    answer = lines.readline()
                except OSError:
                    break
                if answer == "":
                    break
                if answer == "OK\n":
                    accepted[number].append(line)
                if i == 20:
                    ready.release()
            connection.close()

        threads = [threading.Thread(target=change, args=(number,)) for number in range(len(accepted))]
        for thread in threads:
            thread.start()
        for _ in threads:
            check(ready.acquire(timeout=LIMIT), "the load does not begin")
        service.stop()
        time.sleep(0.3)  # what is tested: the time between two signals of somebody who is impatient
        service.stop()
        for thread in threads:
            thread.join(LIMIT)
        answer = hung_lines.read()
        check(answer == "ERROR the service is stopping\n", "what the client of the hung server is told", answer)
        hung.close()
        status, out, err = service.finish()
        with open(journal, encoding="utf-8") as file:
            written = set(file.read().splitlines())
        for lines in accepted:
            missing = [line for line in lines if line not in written]
            check(not missing, "changes that were accepted are not in the journal", missing[:3], out, err)
        check("cut short: second SIGTERM after " in out, "the report", out, err)
        check(status in (0, 124), "the exit status", status, out, err)
        upstream.close()


def main():
    program = sys.argv[1]
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    signal_rounds = int(sys.argv[3]) if len(sys.argv) > 3 else rounds
    for test, times in ((all_answers_complete, rounds), (a_hung_upstream_is_aborted, rounds),
                        (the_journal_is_complete, signal_rounds)):
        for _ in range(times):
            test(program)
        print(f"{test.__name__}: {times} of {times}")


main()
