"""What programs may expect of a file system. Each function is one check and names one habit of real
programs; it runs in an empty directory of its own, as the guest's user. Together they are the
semantics the share promises (docs/share.md has the rest).

They run on this host's kernel (e2e/test_share_semantics.py) and in a VM (vm/test_share.py), there
with nothing but Python's own library.
"""
import ctypes
import errno
import fcntl
import mmap
import os
import socket
import stat
import subprocess

libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD = -100


def put(name, data=b""):
    with open(name, "wb") as file:
        file.write(data)


def get(name):
    with open(name, "rb") as file:
        return file.read()


def refused(error, function, *arguments, **named):
    try:
        function(*arguments, **named)
    except OSError as caught:
        assert caught.errno == error, f"{errno.errorcode[caught.errno]} {caught}"
    else:
        raise AssertionError(f"no {errno.errorcode[error]}")


def renameat2(old, new, flags):
    if libc.renameat2(AT_FDCWD, old.encode(), AT_FDCWD, new.encode(), flags) < 0:
        raise OSError(ctypes.get_errno(), "renameat2")


def a_file_is_read_as_written():
    put("f", b"one\n" * 1000)
    assert get("f") == b"one\n" * 1000


def a_large_write_arrives_whole():
    data = os.urandom(3 << 20) + b"end"
    put("f", data)
    assert get("f") == data


def shared_mmap_reaches_the_file():
    put("f", b"x" * 8192)
    fd = os.open("f", os.O_RDWR)
    with mmap.mmap(fd, 8192) as area:
        area[4096:4100] = b"mmap"
        area.flush()
    os.close(fd)
    assert get("f")[4096:4100] == b"mmap"


def private_mmap_does_not():
    put("f", b"x" * 4096)
    fd = os.open("f", os.O_RDWR)
    with mmap.mmap(fd, 4096, flags=mmap.MAP_PRIVATE) as area:
        area[0:4] = b"mine"
    os.close(fd)
    assert get("f")[:4] == b"xxxx"


def mmap_sees_what_is_written():
    put("f", b"a" * 4096)
    fd = os.open("f", os.O_RDWR)
    with mmap.mmap(fd, 4096, prot=mmap.PROT_READ, flags=mmap.MAP_SHARED) as area:
        os.pwrite(fd, b"new", 10)
        assert area[10:13] == b"new"
    os.close(fd)


def two_appenders_do_not_overwrite_each_other():
    fds = [os.open("f", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644) for _ in range(2)]
    for i in range(20):
        os.write(fds[i % 2], b"%02d" % i)
    assert get("f") == b"".join(b"%02d" % i for i in range(20))


def a_file_renamed_over_stays_readable_where_it_is_open():
    put("old", b"old")
    put("new", b"new")
    fd = os.open("old", os.O_RDWR)
    os.rename("new", "old")
    assert get("old") == b"new"
    assert os.pread(fd, 10, 0) == b"old"
    os.pwrite(fd, b"OLD", 0)
    assert os.pread(fd, 10, 0) == b"OLD"
    assert get("old") == b"new"
    os.close(fd)


def hard_links_are_one_file():
    put("a", b"1")
    os.link("a", "b")
    a, b = os.stat("a"), os.stat("b")
    assert a.st_ino == b.st_ino and a.st_nlink == b.st_nlink == 2
    put("b", b"22")
    assert get("a") == b"22"
    os.unlink("a")
    assert get("b") == b"22"
    assert os.stat("b").st_nlink == 1


def a_file_is_linked_to_the_same_name_again_and_again():
    """A lock that is a link; `rm b; ln a b`."""
    put("mine", b"1")
    for _ in range(3):
        os.link("mine", "lock")
        refused(errno.EEXIST, os.link, "mine", "lock")
        os.unlink("lock")
        assert os.stat("mine").st_nlink == 1


def one_link_removed_while_open_leaves_the_other():
    put("a", b"1")
    os.link("a", "b")
    fd = os.open("b", os.O_RDWR)
    os.unlink("b")
    os.pwrite(fd, b"2", 0)
    assert get("a") == b"2"
    os.close(fd)
    assert get("a") == b"2"
    assert os.stat("a").st_nlink == 1


def an_unlinked_open_file_reads_and_writes():
    fd = os.open("f", os.O_RDWR | os.O_CREAT, 0o644)
    os.write(fd, b"before")
    os.unlink("f")
    assert not os.path.exists("f")
    os.pwrite(fd, b"after", 6)
    assert os.pread(fd, 20, 0) == b"beforeafter"
    os.close(fd)


def an_unlinked_open_file_has_no_links():
    fd = os.open("f", os.O_RDWR | os.O_CREAT, 0o644)
    os.unlink("f")
    assert os.fstat(fd).st_nlink == 0
    os.close(fd)


def an_unlinked_open_file_is_truncated_and_chmoded():
    fd = os.open("f", os.O_RDWR | os.O_CREAT, 0o644)
    os.write(fd, b"123456")
    os.unlink("f")
    os.ftruncate(fd, 3)
    os.fchmod(fd, 0o600)
    assert os.fstat(fd).st_size == 3
    assert stat.S_IMODE(os.fstat(fd).st_mode) == 0o600
    os.close(fd)


def a_name_can_be_made_again_while_the_old_file_is_open():
    put("f", b"1")
    fd = os.open("f", os.O_RDONLY)
    os.unlink("f")
    put("f", b"2")
    assert os.read(fd, 5) == b"1" and get("f") == b"2"
    os.close(fd)


def flock_excludes():
    put("f")
    a, b = os.open("f", os.O_RDWR), os.open("f", os.O_RDWR)
    fcntl.flock(a, fcntl.LOCK_EX)
    refused(errno.EWOULDBLOCK, fcntl.flock, b, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(a)
    fcntl.flock(b, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(b)


def record_locks_exclude():
    put("f", b"0" * 100)
    fd = os.open("f", os.O_RDWR)
    fcntl.lockf(fd, fcntl.LOCK_EX, 10, 0)
    child = os.fork()
    if child == 0:
        other = os.open("f", os.O_RDWR)
        fcntl.lockf(other, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 50)
        try:
            fcntl.lockf(other, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 0)
        except OSError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    os.close(fd)


def a_unix_socket_binds_and_connects():
    server = socket.socket(socket.AF_UNIX)
    server.bind("s")
    server.listen()
    client = socket.socket(socket.AF_UNIX)
    client.connect("s")
    assert stat.S_ISSOCK(os.stat("s").st_mode)
    server.close()
    client.close()
    os.unlink("s")


def a_fifo_carries_bytes():
    os.mkfifo("p")
    reader = os.open("p", os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open("p", os.O_WRONLY)
    os.write(writer, b"through")
    assert os.read(reader, 20) == b"through"
    os.close(reader)
    os.close(writer)


def a_fifo_that_loses_one_of_two_names_is_there_by_the_other():
    os.mkfifo("a")
    os.link("a", "b")
    reader = os.open("a", os.O_RDONLY | os.O_NONBLOCK)
    os.unlink("a")
    assert stat.S_ISFIFO(os.stat("b").st_mode) and os.stat("b").st_nlink == 1
    writer = os.open("b", os.O_WRONLY)
    os.unlink("b")
    assert os.fstat(reader).st_nlink == 0
    os.write(writer, b"through")
    assert os.read(reader, 20) == b"through"
    os.close(reader)
    os.close(writer)


def symbolic_links_are_read_and_followed():
    put("f", b"1")
    os.symlink("f", "l")
    os.symlink("/nowhere/at all", "dangling")
    assert os.readlink("l") == "f" and get("l") == b"1"
    assert os.readlink("dangling") == "/nowhere/at all"
    refused(errno.ENOENT, open, "dangling")
    os.symlink("loop", "loop")
    refused(errno.ELOOP, open, "loop")


def opening_with_trunc_empties():
    put("f", b"123")
    os.close(os.open("f", os.O_WRONLY | os.O_TRUNC))
    assert os.stat("f").st_size == 0


def exclusive_creation_happens_once():
    os.close(os.open("f", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    refused(errno.EEXIST, os.open, "f", os.O_CREAT | os.O_EXCL | os.O_WRONLY)


def rename_noreplace_refuses():
    put("a", b"a")
    put("b", b"b")
    refused(errno.EEXIST, renameat2, "a", "b", 1)
    renameat2("a", "c", 1)
    assert get("c") == b"a" and get("b") == b"b"


def rename_exchange_swaps():
    put("a", b"a")
    os.mkdir("d")
    put("d/x", b"x")
    renameat2("a", "d", 2)
    assert get("d") == b"a" and get("a/x") == b"x"


def directories_move_with_what_is_in_them():
    os.makedirs("a/b/c")
    put("a/b/c/f", b"1")
    fd = os.open("a/b/c/f", os.O_RDWR)
    os.mkdir("z")
    os.rename("a/b", "z/b")
    assert get("z/b/c/f") == b"1"
    os.pwrite(fd, b"2", 0)
    assert get("z/b/c/f") == b"2"
    os.close(fd)
    refused(errno.EINVAL, os.rename, "z", "z/b/z")


def direct_io_works():
    put("f", b"d" * 8192)
    fd = os.open("f", os.O_RDONLY | os.O_DIRECT)
    with mmap.mmap(-1, 4096) as page:
        assert os.readv(fd, [page]) == 4096 and page[:4] == b"dddd"
    os.close(fd)


def fallocate_makes_room():
    fd = os.open("f", os.O_RDWR | os.O_CREAT, 0o644)
    os.posix_fallocate(fd, 0, 100000)
    assert os.fstat(fd).st_size == 100000
    os.close(fd)


def a_punched_hole_reads_as_zeros():
    put("f", b"x" * 65536)
    fd = os.open("f", os.O_RDWR)
    if libc.fallocate64(fd, 3, ctypes.c_int64(4096), ctypes.c_int64(4096)) < 0:
        raise OSError(ctypes.get_errno(), "fallocate")
    assert os.pread(fd, 4096, 4096) == bytes(4096) and os.fstat(fd).st_size == 65536
    os.close(fd)


def seek_data_skips_holes():
    fd = os.open("f", os.O_RDWR | os.O_CREAT, 0o644)
    os.pwrite(fd, b"x", 1 << 20)
    assert os.lseek(fd, 0, os.SEEK_DATA) == 1 << 20
    assert os.lseek(fd, 0, os.SEEK_HOLE) == 0
    refused(errno.ENXIO, os.lseek, fd, (1 << 20) + 4096, os.SEEK_DATA)
    os.close(fd)


def a_file_passes_four_gigabytes():
    fd = os.open("f", os.O_RDWR | os.O_CREAT, 0o644)
    os.pwrite(fd, b"far", 5 << 30)
    assert os.fstat(fd).st_size == (5 << 30) + 3 and os.fstat(fd).st_blocks < 1000
    assert os.pread(fd, 3, 5 << 30) == b"far"
    os.close(fd)
    os.unlink("f")


def copy_file_range_copies():
    put("a", b"0123456789" * 1000)
    put("b")
    a, b = os.open("a", os.O_RDONLY), os.open("b", os.O_RDWR)
    assert os.copy_file_range(a, b, 5000, 10, 0) == 5000
    assert os.pread(b, 5000, 0) == (b"0123456789" * 1000)[10:5010]
    os.close(a)
    os.close(b)


def chown_is_a_no_op_or_refused():
    put("f")
    os.chown("f", os.getuid(), os.getgid())
    os.chown("f", -1, -1)
    refused(errno.EPERM, os.chown, "f", 0, 0)
    assert os.stat("f").st_uid == os.getuid()


def times_are_set_to_the_nanosecond():
    put("f")
    os.utime("f", ns=(1234567890123456789, 987654321987654321))
    assert os.stat("f").st_mtime_ns == 987654321987654321
    assert os.stat("f").st_atime_ns == 1234567890123456789
    os.symlink("f", "l")
    os.utime("l", ns=(5, 6), follow_symlinks=False)
    assert os.lstat("l").st_mtime_ns == 6


def writing_moves_the_times():
    put("f", b"1")
    os.utime("f", ns=(1, 1))
    put("f", b"2")
    assert os.stat("f").st_mtime_ns > 10 ** 18


def a_program_is_executed():
    put("p", b"#!/bin/sh\nexit 5\n")
    refused(errno.EACCES, os.execv, "./p", ["p"])
    os.chmod("p", 0o755)
    assert subprocess.run(["./p"], check=False).returncode == 5


def names_differ_by_case():
    put("a", b"1")
    put("A", b"2")
    assert get("a") == b"1" and sorted(os.listdir(".")) == ["A", "a"]


def a_full_directory_is_not_removed():
    os.mkdir("d")
    put("d/f")
    refused(errno.ENOTEMPTY, os.rmdir, "d")
    refused(errno.ENOTDIR, os.rmdir, "d/f")
    refused(errno.EISDIR, os.unlink, "d")


def a_removed_directory_is_still_a_directory_to_who_is_in_it():
    os.mkdir("d")
    fd = os.open("d", os.O_RDONLY | os.O_DIRECTORY)
    os.mkdir("d/x")
    os.rmdir("d/x")
    os.rmdir("d")
    assert os.fstat(fd).st_nlink == 0
    assert stat.S_ISDIR(os.fstat(fd).st_mode) and os.listdir(fd) == []
    refused(errno.ENOENT, os.open, "f", os.O_CREAT | os.O_WRONLY, dir_fd=fd)
    os.close(fd)


def a_file_made_read_only_can_be_written_by_who_made_it():
    fd = os.open("f", os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o444)
    os.write(fd, b"object")
    os.close(fd)
    assert get("f") == b"object"
    assert stat.S_IMODE(os.stat("f").st_mode) == 0o444
    refused(errno.EACCES, os.open, "f", os.O_WRONLY)


def a_mode_of_nothing_is_kept_and_refuses():
    put("f", b"1")
    os.chmod("f", 0)
    refused(errno.EACCES, open, "f", "rb")
    os.chmod("f", 0o640)
    assert get("f") == b"1"


def names_of_255_bytes_of_any_kind():
    name = bytes(range(1, 47)) + bytes(range(48, 256)) + b"x"
    assert len(name) == 255
    put(name, b"1")
    assert os.listdir(b".") == [name] and get(name) == b"1"
    os.unlink(name)
    refused(errno.ENAMETOOLONG, open, b"n" * 256, "wb")


def a_long_listing_is_complete():
    names = {f"file {i} {'x' * (i % 50)}" for i in range(3000)}
    for name in names:
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
    assert set(os.listdir(".")) == names
    with os.scandir(".") as entries:
        assert all(entry.is_file() for entry in entries)


def a_listing_goes_on_while_files_are_removed():
    for i in range(1000):
        put(f"{i}")
    seen = set()
    with os.scandir(".") as entries:
        for entry in entries:
            seen.add(entry.name)
            os.unlink(entry.name)
    assert len(seen) == 1000 and os.listdir(".") == []


def a_deep_tree_is_reached():
    for _ in range(200):
        os.mkdir("deeper than it has to be")
        os.chdir("deeper than it has to be")
    put("f", b"down here")
    assert get("f") == b"down here"


def a_path_of_any_length_is_reached():
    for length in range(239, 243):  # where one is cut into pieces
        top = os.open(".", os.O_RDONLY)
        for _ in range(40):
            os.mkdir("n" * length)
            os.chdir("n" * length)
        put("n" * 255, b"down here")
        assert get("n" * 255) == b"down here"
        os.fchdir(top)
        os.close(top)


def setuid_is_dropped():
    put("f")
    os.chmod("f", 0o6755)
    assert stat.S_IMODE(os.stat("f").st_mode) == 0o755


def devices_are_refused():
    refused(errno.EPERM, os.mknod, "d", 0o600 | stat.S_IFCHR, os.makedev(1, 3))


def extended_attributes_are_declined():
    put("f")
    refused(errno.EOPNOTSUPP, os.setxattr, "f", "user.x", b"1")


def free_space_is_the_hosts():
    assert os.statvfs(".").f_blocks > 0


def syncing_works():
    fd = os.open("f", os.O_CREAT | os.O_RDWR)
    os.write(fd, b"1")
    os.fsync(fd)
    os.fdatasync(fd)
    os.close(fd)
    fd = os.open(".", os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


HELPERS = ("put", "get", "refused", "renameat2")
CHECKS = [check for name, check in list(globals().items())
          if getattr(check, "__module__", "") == __name__ and name not in HELPERS]
