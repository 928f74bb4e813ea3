"""What tests/vm/test_share.py runs in the guest, with the Python of guest_python.py.

	check NAME...           checks of share_checks.py, each in a directory of its own
	churn PATH SEED SECONDS works at random; prints how much it did
	tree PATH               prints what it sees
	follow                  for each path on standard input, prints the content of that file
	sqlite PATH             a database in each of two journal modes, used by two connections
	many PATH COUNT         makes so many files in one directory, lists, looks at and removes them;
	                        prints the seconds of each as JSON
	load PATH               writes, reads, renames and removes until PATH/stop appears
"""
import json
import os
import pathlib
import shutil
import sqlite3
import sys
import tempfile
import time
import traceback

import share_checks
import share_churn


def check(names):
    """One JSON line a check: its name and what went wrong."""
    top = os.getcwd()
    os.umask(0o022)
    for name in names:
        directory = tempfile.mkdtemp(prefix="check-", dir=top)
        os.chdir(directory)
        wrong = ""
        try:
            getattr(share_checks, name)()
        except BaseException:
            wrong = traceback.format_exc()
        os.chdir(top)
        shutil.rmtree(directory)
        print(json.dumps([name, wrong]), flush=True)


def follow():
    """Reads a file when it is asked to, and never looks at it otherwise."""
    for line in sys.stdin:
        try:
            text = pathlib.Path(line.strip()).read_text()
        except FileNotFoundError:
            text = "none"
        print(text, flush=True)


def use_database(top, mode):
    name = top / f"{mode}.db"
    database, other = sqlite3.connect(name), sqlite3.connect(name, timeout=0)
    assert database.execute(f"pragma journal_mode={mode}").fetchone()[0] == mode
    database.execute("create table t (a integer primary key, b text)")
    for i in range(20):
        with database:
            database.executemany("insert into t (b) values (?)", [("x" * i,) for _ in range(50)])
    database.execute("begin immediate")
    try:
        other.execute("begin immediate")
        raise AssertionError("two writers at once")
    except sqlite3.OperationalError:
        pass
    database.rollback()
    assert other.execute("select count(*) from t").fetchone()[0] == 1000
    assert other.execute("pragma integrity_check").fetchone()[0] == "ok"


def many(top, count):
    took = {}

    def timed(what, function):
        start = time.monotonic()
        function()
        took[what] = round(time.monotonic() - start, 2)

    def create():
        for i in range(count):
            os.close(os.open(top / f"{i}", os.O_CREAT | os.O_WRONLY, 0o644))

    def look():
        assert sum(os.lstat(top / f"{i}").st_size == 0 for i in range(count)) == count

    def enumerate_all():
        assert len(os.listdir(top)) == count

    def remove():
        for i in range(count):
            os.unlink(top / f"{i}")
    timed("create", create)
    timed("list", enumerate_all)
    timed("look", look)
    timed("remove", remove)
    assert os.listdir(top) == []
    return took


def load(top):
    """Stops with an error at the first thing that is not as it should be."""
    number = 0
    kept = os.open(top / "kept", os.O_RDWR | os.O_CREAT, 0o644)
    os.unlink(top / "kept")
    while not (top.parent / "stop").exists():
        number += 1
        text = b"%d\n" % number * 1000
        share_checks.put(top / "a", text)
        os.rename(top / "a", top / "b")
        assert share_checks.get(top / "b") == text
        os.pwrite(kept, text, 0)
        assert os.pread(kept, len(text), 0) == text
        os.mkdir(top / "d")
        os.symlink("b", top / "d" / "l")
        assert sorted(os.listdir(top)) == ["b", "d"]
        shutil.rmtree(top / "d")
        os.unlink(top / "b")
        if number % 10 == 0:
            print(number, flush=True)


def main(what, *arguments):
    if what == "check":
        check(arguments)
    elif what == "churn":
        top, seed, seconds = arguments
        print(share_churn.churn(pathlib.Path(top), int(seed), float(seconds), "guest"))
    elif what == "tree":
        print(json.dumps(share_churn.tree(arguments[0])))
    elif what == "follow":
        follow()
    elif what == "sqlite":
        for mode in ("delete", "wal"):
            use_database(pathlib.Path(arguments[0]), mode)
    elif what == "many":
        print(json.dumps(many(pathlib.Path(arguments[0]), int(arguments[1]))))
    elif what == "load":
        load(pathlib.Path(arguments[0]))


main(*sys.argv[1:])
