"""What tests/vm/test_suspend_work.py runs in the guest, with the Python of guest_python.py.

	clock               answers each line with the time
	work PORT PSQL...   (with -i) at a prompt: begin() before the suspend, check() behind it; PORT is
	                    one that the host listens on, PSQL the words that run psql
"""
import mmap
import os
import pathlib
import socket
import subprocess
import sys
import time

HOST = "10.0.2.2"


def clock():
    for _ in sys.stdin:
        print(time.time(), flush=True)


def serve(listener):
    """Answers each line that comes through one connection with itself, backwards."""
    connection, _ = listener.accept()
    with connection.makefile("rw") as lines:
        for line in lines:
            lines.write(line.strip()[::-1] + "\n")
            lines.flush()


def connect():
    """A TCP connection to another process of this guest, as a file of lines."""
    listener = socket.create_server(("127.0.0.1", 0))
    if os.fork() == 0:
        serve(listener)
        os._exit(0)
    return socket.create_connection(listener.getsockname()).makefile("rw")


class Database:
    """One connection of psql's."""

    def __init__(self, words):
        self.psql = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT, text=True)

    def ask(self, sql):
        self.psql.stdin.write(f"{sql};\n\\echo end\n")
        self.psql.stdin.flush()
        return "".join(iter(self.psql.stdout.readline, "end\n")).strip()


class Work:
    """Files of the share that are open, connections, a transaction."""

    def __init__(self, port, psql):
        self.psql = psql
        self.lines = connect()
        self.outside = socket.create_connection((HOST, port))
        self.written = open("written", "w", buffering=1)
        self.removed = open("removed", "w+b", buffering=0)
        os.unlink("removed")
        pathlib.Path("mapped").write_bytes(bytes(mmap.PAGESIZE))
        with open("mapped", "r+b") as file:
            self.mapped = mmap.mmap(file.fileno(), 0)
        self.database = Database(psql)

    def exchange(self, word):
        self.lines.write(word + "\n")
        self.lines.flush()
        return self.lines.readline().strip()

    def use(self, word):
        """Everything once; the word tells before from behind."""
        assert self.exchange(word) == word[::-1]
        self.written.write(word + "\n")
        self.removed.write(word.encode())
        place = self.mapped.find(b"\0")
        self.mapped[place:place + len(word)] = word.encode()
        self.mapped.flush()


    def outside_is_over(self):
        """Nobody says so until something is sent."""
        self.outside.setblocking(False)
        try:
            self.outside.recv(1)
        except BlockingIOError:
            pass
        self.outside.settimeout(60)
        try:
            self.outside.sendall(b"?")
            self.outside.recv(1)
        except ConnectionError:
            return True
        return False


work = None


def begin():
    global work
    work = Work(int(sys.argv[2]), sys.argv[3:])
    work.use("before")
    print(work.database.ask("create table t (a text)") or
          work.database.ask("begin") or
          work.database.ask("insert into t values ('before')") or "it" + " began")


def check():
    work.use("behind")
    assert work.outside_is_over()
    with socket.create_connection((HOST, int(sys.argv[2]))) as again:
        again.sendall(b"again")
    assert os.pread(work.removed.fileno(), 99, 0) == b"beforebehind"
    assert not os.path.exists("removed")
    assert not work.database.ask("insert into t values ('behind')"), "the transaction goes on"
    another = Database(work.psql)
    assert another.ask("select count(*) from t") == "0"
    assert not work.database.ask("commit")
    assert another.ask("select string_agg(a, '' order by a) from t") == "beforebehind"
    print("all of it goes" + " on")


if sys.argv[1] == "clock":
    clock()
