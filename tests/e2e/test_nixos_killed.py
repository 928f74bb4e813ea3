"""`dxvm install --force` over a NixOS, killed at every single operation on disk (dxvm-faulty: test_faults.py)."""
from projects import BUILD
from test_nixos_install import HALF_MADE, made, make  # noqa: F401 (fixture)


def test_there_is_the_old_vm_or_the_new_or_none(make, scratch):
    project = make("one", DXVM_LIBEXEC=str(scratch / "libexec"))
    (scratch / "libexec").mkdir()
    for room, name in (("agent", "dxvm-agent"), ("devbox", "dxvm-devbox"), ("image", "dxvm-image")):
        (scratch / "libexec" / name).symlink_to(BUILD / "src" / room / name)
    project.dxvm = str(BUILD / "tests" / "e2e" / "dxvm-faulty")
    made(project.install())
    new, count, number = project.system(), None, 0
    while count is None or number < count:
        number += 1
        with open(project.data / "disk.img", "r+b") as disk:
            disk.seek(1 << 20)
            disk.write(b"OLD SYSTEM".ljust(16))
        (project.data / "boot" / "current" / "kernel").write_text("OLD")
        (scratch / "faults").unlink(missing_ok=True)
        project.environment.update(DXVM_TEST_FAULTS=str(scratch / "faults"), DXVM_TEST_FAULT=f"abort {number}")
        if project.install("good", "--force").returncode == 0:
            count = number  # there was no such operation
        del project.environment["DXVM_TEST_FAULT"]
        operation = (scratch / "faults").read_text().splitlines()[-1]
        if (project.data / "guest").exists():
            kernel = (project.data / "boot" / "current" / "kernel").read_text()
            assert (project.system() == new) == (kernel == "KERNEL"), operation
        made(project.install("good", "--force"))
        assert project.system() == new and project.names() & HALF_MADE == {"guest", "disk.img", "boot"}, operation
    assert project.runs == 1 and number > 10
