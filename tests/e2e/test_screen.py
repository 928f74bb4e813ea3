"""Full-screen programs, seen through a terminal that remembers what is on its screen: tmux."""
import os
import shutil
import signal
import subprocess

import pytest

from projects import wait_until

VIM = shutil.which("vim") or shutil.which("vim.tiny")
LESS = shutil.which("less")
needs_vim = pytest.mark.skipif(not VIM, reason="vim is missing (tools/install-deps test)")
needs_less = pytest.mark.skipif(not LESS, reason="less is missing (tools/install-deps test)")

# What a program can change of a terminal and tmux can tell.
MODES = ("alternate_on", "cursor_flag", "insert_flag", "keypad_cursor_flag", "keypad_flag",
         "mouse_any_flag", "mouse_standard_flag", "mouse_button_flag", "mouse_sgr_flag",
         "origin_flag", "wrap_flag", "scroll_region_upper", "scroll_region_lower")


class Screen:
    """A shell on a terminal of a tmux of its own."""

    def __init__(self, project, folder, columns=80, rows=24):
        self.socket = folder / "tmux"
        self.project = project
        self.environment = {name: value for name, value in project.environment.items()
                            if name != "TMUX"}
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(rows),
                  "env", "PS1=outer> ", "/bin/sh")
        self.wait(lambda: "outer>" in self.text(), "the outer prompt")

    def tmux(self, *words):
        done = subprocess.run(["tmux", "-S", str(self.socket), *words], env=self.environment,
                              cwd=self.project.root, capture_output=True, check=False, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def wait(self, condition, what):
        try:
            return wait_until(condition, what)
        except AssertionError:
            raise AssertionError(f"not {what}; the screen:\n{self.text()}") from None

    def text(self):
        return self.tmux("capture-pane", "-p")

    def lines(self):
        return self.text().rstrip("\n").split("\n")

    def type(self, text, *keys):
        """Text as it is, then keys by name: Enter, C-c, Escape."""
        if text:
            self.tmux("send-keys", "-l", text)
        if keys:
            self.tmux("send-keys", *keys)

    def shows(self, *texts):
        self.wait(lambda: all(text in self.text() for text in texts), f"on the screen: {texts}")

    def resize(self, columns, rows):
        self.tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def state(self):
        """The terminal's modes and its settings, for a comparison."""
        modes = self.tmux("display-message", "-p", " ".join(f"{name}=#{{{name}}}" for name in MODES))
        tty = self.tmux("display-message", "-p", "#{pane_tty}").strip()
        with open(tty, encoding="utf-8") as terminal:
            return modes, subprocess.run(["stty", "-g"], stdin=terminal, capture_output=True,
                                         check=True, text=True).stdout

    def close(self):
        subprocess.run(["tmux", "-S", str(self.socket), "kill-server"], env=self.environment,
                       capture_output=True, check=False)


@pytest.fixture
def screen(project, scratch):
    """A screen of 80 by 24 in the project, where 200 numbered lines lie in `text`."""
    (project.root / "text").write_text("".join(f"line {n}\n" for n in range(1, 201)))
    assert project.run("start").returncode == 0
    made = Screen(project, scratch)
    yield made
    made.close()


def open_editor(screen, then="echo status-$?"):
    screen.type(f'"{screen.project.dxvm}" exec vim -u NONE -N "+set mouse=a" text; {then}'
                .replace("exec vim", f"exec {VIM}"), "Enter")
    screen.shows("line 1\n", "line 23\n")


def client_of(screen):
    """The pid of the dxvm that runs in the outer shell."""
    shell = screen.tmux("display-message", "-p", "#{pane_pid}").strip()
    with open(f"/proc/{shell}/task/{shell}/children", encoding="ascii") as children:
        return int(children.read().split()[0])


@needs_vim
def test_vim_redraws_after_a_resize(screen):
    before = screen.state()
    open_editor(screen)
    assert [line.rstrip() for line in screen.lines()[:23]] == [f"line {n}" for n in range(1, 24)]
    screen.resize(100, 40)
    screen.shows("line 39\n")
    assert [line.rstrip() for line in screen.lines()[:39]] == [f"line {n}" for n in range(1, 40)]
    screen.resize(50, 10)
    screen.wait(lambda: screen.lines()[:9] == [f"line {n}" for n in range(1, 10)]
                and "line 10\n" not in screen.text(), "the small screen")
    screen.type(":set lines? columns?", "Enter")
    screen.shows("lines=10", "columns=50")
    screen.type("", "Enter")
    screen.type(":q!", "Enter")
    screen.shows("status-0")
    screen.resize(80, 24)
    screen.wait(lambda: screen.state() == before, "the terminal as it was before")


@needs_less
def test_less_redraws_after_a_resize(screen):
    screen.type(f'"{screen.project.dxvm}" exec less text; echo status-$?', "Enter")
    screen.shows("line 1\n", "line 23\n")
    screen.resize(100, 40)
    screen.shows("line 39\n")
    screen.type("", "Space")
    screen.shows("line 78\n")
    screen.type("q")
    screen.shows("status-0")
    assert "line 78" not in screen.text()


@needs_vim
def test_control_z_suspends_vim_and_fg_brings_it_back(screen):
    screen.type(f"\"{screen.project.dxvm}\" exec bash --norc -i", "Enter")
    screen.shows("bash-")
    screen.type(f"{VIM} -u NONE -N text", "Enter")
    screen.shows("line 23\n")
    screen.type("", "C-z")
    screen.shows("Stopped")
    assert screen.state()[0].startswith("alternate_on=0")
    screen.type("fg", "Enter")
    screen.shows("line 23\n")
    screen.type(":q!", "Enter")
    screen.wait(lambda: screen.state()[0].startswith("alternate_on=0"), "vim has ended")
    screen.type("exit 4", "Enter")
    screen.wait(lambda: screen.lines()[-1] == "outer> ".rstrip(), "the shell has ended")
    screen.type("echo status-$?", "Enter")
    screen.shows("status-4")


@needs_vim
@pytest.mark.parametrize("how,status", [("exit", 0), ("term", 143), ("hup", 129), ("leave", 0),
                                        ("supervisor", 125), ("machine", 125)])
def test_the_terminal_is_as_before_when_vim_is_cut_off(screen, how, status):
    before = screen.state()
    open_editor(screen)
    screen.wait(lambda: "mouse_any_flag=1" in screen.state()[0], "the mouse is vim's")
    during = screen.state()
    assert "alternate_on=1" in during[0] and during[1] != before[1]
    supervisor, machine = screen.project.processes()[:2]
    if how == "exit":
        screen.type(":q!", "Enter")
    elif how == "leave":
        # vim's screen has the newline in front; the tilde is dxvm's.
        screen.type("", "Enter")
        screen.type("~.")
    else:
        victim = {"supervisor": supervisor, "machine": machine}.get(how) or client_of(screen)
        os.kill(victim, {"term": signal.SIGTERM, "hup": signal.SIGHUP}.get(how, signal.SIGKILL))
    screen.shows(f"status-{status}")
    screen.wait(lambda: screen.state() == before, "the terminal as it was before")
    assert "line 23" not in screen.text()
