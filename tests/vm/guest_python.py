"""The host's Python, laid on a project's share, so that a guest without one runs tests: the
interpreter, its library, and the shared objects and loader it needs, whatever the guest has."""
import pathlib
import shutil
import sys
import sysconfig

from guest_programs import lay_loader

HERE = pathlib.Path(__file__).resolve().parent
MODULES = [HERE / "share_in_guest.py", HERE.parent / "share_checks.py",
           HERE.parent / "share_churn.py", HERE / "suspend_in_guest.py"]
UNUSED = shutil.ignore_patterns("test", "tests", "idlelib", "tkinter", "lib2to3", "ensurepip",
                                "pydoc_data", "distutils", "config-*", "dist-packages",
                                "site-packages", "turtledemo", "asyncio")


def lay(root):
    """Returns the words that run it; scripts lie in python/, the working directory is the project."""
    home = root / "python"
    interpreter = pathlib.Path(sys.executable).resolve()
    library = pathlib.Path(sysconfig.get_path("stdlib"))
    target = home / "lib" / library.name
    shutil.copytree(library, target, ignore=UNUSED)
    loader = lay_loader([interpreter, *target.glob("lib-dynload/*.so")], root, "python")
    shutil.copy(interpreter, home / "interpreter")
    for path in MODULES:
        shutil.copy(path, home)
    return ["env", "PYTHONHOME=python", "PYTHONDONTWRITEBYTECODE=1", *loader,
            "python/interpreter", "-S"]
