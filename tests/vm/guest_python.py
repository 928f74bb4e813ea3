"""The host's Python, laid on a project's share, so that a guest without one runs tests: the
interpreter, its library, and the shared objects and loader it needs, whatever the guest has."""
import pathlib
import shutil
import sys
import sysconfig

from guest_programs import lay_objects, needed

HERE = pathlib.Path(__file__).resolve().parent
MODULES = [HERE / "share_in_guest.py", HERE.parent / "share_checks.py",
           HERE.parent / "share_churn.py"]
UNUSED = shutil.ignore_patterns("test", "tests", "idlelib", "tkinter", "lib2to3", "ensurepip",
                                "pydoc_data", "distutils", "config-*", "dist-packages",
                                "site-packages", "turtledemo", "__pycache__", "asyncio")


def lay(root):
    """Returns the words with which share_in_guest.py is run, its working directory the project."""
    home = root / "python"
    interpreter = pathlib.Path(sys.executable).resolve()
    library = pathlib.Path(sysconfig.get_path("stdlib"))
    target = home / "lib" / library.name
    shutil.copytree(library, target, ignore=UNUSED)
    objects = needed(interpreter)
    for module in target.glob("lib-dynload/*.so"):
        objects |= needed(module)
    loader = lay_objects(objects, home / "objects")
    shutil.copy(interpreter, home / "interpreter")
    for path in MODULES:
        shutil.copy(path, home)
    return ["env", "PYTHONHOME=python", "PYTHONDONTWRITEBYTECODE=1", f"python/objects/{loader}",
            "--library-path", "python/objects", "python/interpreter", "-S",
            "python/share_in_guest.py"]
