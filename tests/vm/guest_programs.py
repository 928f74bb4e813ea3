"""Programs of the host's laid out for a guest, with the shared objects and the loader they need,
whatever the guest has."""
import pathlib
import shutil
import subprocess


def needed(path):
    """The shared objects that a program or module is linked against, the loader among them."""
    done = subprocess.run(["ldd", path], capture_output=True, text=True, check=False)
    words = [word for line in done.stdout.splitlines() for word in line.split()]
    return {pathlib.Path(word) for word in words if word.startswith("/")}


def lay_objects(paths, folder):
    """Copies them; the name of the loader."""
    folder.mkdir()
    for path in paths:
        shutil.copy(path, folder / path.name)
    (loader,) = (path.name for path in paths if path.name.startswith("ld-"))
    return loader


def lay_loader(paths, root, folder):
    """What the programs and modules at these paths need, in root/folder/objects. Returns the words that
    come before such a program's path, the working directory being root."""
    (root / folder).mkdir(exist_ok=True)
    loader = lay_objects(set().union(*(needed(path) for path in paths)), root / folder / "objects")
    return [f"{folder}/objects/{loader}", "--library-path", f"{folder}/objects"]


def lay_package(programs, folder):
    """A folder as Nix packages are: bin/NAME for each of `programs`, {name: program of the host}, and
    what they need beside it. Works wherever it is put, and through links."""
    objects = set().union(*(needed(program) for program in programs.values()))
    (folder / "bin").mkdir(parents=True)
    (folder / "libexec").mkdir()
    loader = lay_objects(objects, folder / "lib")
    for name, program in programs.items():
        shutil.copy(program, folder / "libexec" / name)
        wrapper = folder / "bin" / name
        wrapper.write_text(f'#!/bin/sh\nhere=$(readlink -f "$0")\nhere=${{here%/bin/*}}\n'
                           f'exec "$here/lib/{loader}" --argv0 {name} --library-path "$here/lib" '
                           f'"$here/libexec/{name}" "$@"\n')
        wrapper.chmod(0o755)
