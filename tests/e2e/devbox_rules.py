"""Devbox's rules for an environment, written a second time and from their description: what
dxvm-devbox must agree with. Also makes projects at random, with their files as people write them."""
import hashlib
import json
import platform
import re

SYSTEM = f"{platform.machine()}-linux"
SYSTEMS = ["x86_64-linux", "aarch64-linux", "aarch64-darwin"]
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def clean(path):
    """Go's filepath.Clean."""
    rooted = path.startswith("/")
    kept = []
    for part in path.split("/"):
        if part in ("", "."):
            continue
        if part != "..":
            kept.append(part)
        elif kept and kept[-1] != "..":
            kept.pop()
        elif not rooted:
            kept.append("..")
    return ("/" if rooted else "") + "/".join(kept) or "."


def join(*lists):
    """PATH lists as devbox joins them."""
    directories = [clean(part) for one in lists for part in one.split(":") if one]
    return ":".join(dict.fromkeys(d for d in directories if d.startswith("/")))


def expand(text, environment, project):
    """Go's os.Expand with devbox's mapping."""
    def value(name):
        return project if name == "PWD" else environment.get(name, "")

    out = []
    while "$" in text:
        before, _, text = text.partition("$")
        out.append(before)
        if match := re.match(r"\{([*#$@!?0-9-])\}|([*#$@!?0-9-])", text):
            out.append(value(match[1] or match[2]))
        elif match := re.match(r"\{\}|\{(?=[^}]*\Z)", text):
            pass
        elif match := re.match(r"\{([^}]*)\}|([A-Za-z0-9_]+)", text):
            out.append(value(match[1] or match[2]))
        else:
            out.append("$")
            continue
        text = text[match.end():]
    return "".join(out) + text


def packages(config):
    """(key, name, options) of each package, the last one of a name."""
    listed = config.get("packages") or []
    found = []
    for entry in listed.items() if isinstance(listed, dict) else [(p, None) for p in listed]:
        key, options = entry
        if options is None:
            name, at, version = key.rpartition("@")
            found.append((key, name if at and version else key, {}))
            continue
        options = {"version": options} if isinstance(options, str) else options
        version = options.get("version") or ""
        found.append((f"{key}@{version}" if version else key, key, options))
    return [one for i, one in enumerate(found) if one[1] not in [o[1] for o in found[i + 1:]]]


def paths_of(key, options, lock):
    """The store paths of a package on this system; [] when there are none."""
    info = lock["packages"].get(key, {}).get("systems", {}).get(SYSTEM, {})
    outputs = info.get("outputs") or ([{"name": "out", "path": info["store_path"], "default": True}]
                                      if info.get("store_path") else [])
    if options.get("outputs"):
        named = {o["name"]: o["path"] for o in reversed(outputs)}
        wanted = [named.get(name) for name in options["outputs"]]
        return [] if None in wanted else wanted
    return [o["path"] for o in outputs if o.get("default")] or [o["path"] for o in outputs[:1]]


# Names that devbox has plugins for: these, and versions of some.
PLUGINS = {"apache", "apacheHttpd", "caddy", "elixir", "gradle", "ghc", "haskell", "mariadb", "mysql",
           "nginx", "nodejs", "nodejs-slim", "php", "pip", "poetry", "postgresql", "python",
           "pythonFull", "python-minimal", "redis", "ruby", "jruby", "rustc", "rustup", "valkey"}
VERSIONED = {"nodejs": r"_?\d+", "php": r"\d+", "postgresql": r"_\d+", "python": r"\d+(Full)?",
             "ruby": r"_?\d(_\d+)*", "gradle": r"_\d", "mariadb": r"_?\d+", "mysql": "80|57|50"}


def has_plugin(name, options):
    stem = re.match(r"[a-z]*", name)[0]
    versioned = stem in VERSIONED and re.fullmatch(VERSIONED[stem], name[len(stem):])
    return not options.get("disable_plugin") and bool(name in PLUGINS or versioned)


def with_plugins(config):
    """The names of packages for this system that devbox has a plugin for, in order."""
    return [name for _, name, options in packages(config)
            if is_for_this_system(options) and has_plugin(name, options)]


def is_for_this_system(options):
    if options.get("platforms"):
        return SYSTEM in options["platforms"]
    return SYSTEM not in options.get("excluded_platforms", [])


def package_lines(config, lock):
    """key -> paths, or None when it is not for this system."""
    lines = {}
    for key, _, options in packages(config):
        lines[key] = paths_of(key, options, lock) if is_for_this_system(options) else None
    return lines


def environment(config, dotenv, current, project, cwd, pure=False, given=()):
    """The variables, given those of the process."""
    taken = {k: v for k, v in current.items()
             if k not in ("PWD", "OLDPWD", "SHLVL", "SHELL", "_", "DEVBOX_LATEST_VERSION")}
    if pure:
        taken = {k: v for k, v in taken.items() if k in ("HOME", "PATH", "TERM")}
        taken["DEVBOX_PURE_SHELL"] = "1"
        taken["PATH"] = None
    result = dict(taken)
    profile = f"{project}/.devbox/nix/profile/default"
    if not pure:
        result["PATH"] = join(f"{profile}/bin", current.get("PATH", ""))
    result.update(DEVBOX_PROJECT_ROOT=project, DEVBOX_WD=cwd,
                  DEVBOX_CONFIG_DIR=f"{project}/devbox.d", DEVBOX_PACKAGES_DIR=profile)
    own = {**dotenv, **{k: v or "" for k, v in (config.get("env") or {}).items()}}
    own = {k: expand(v, result, project) for k, v in own.items() if NAME.match(k)}
    result.update(own)
    if not pure:
        key = "DEVBOX_NIX_ENV_PATH_" + hashlib.sha256(project.encode()).hexdigest()
        result["DEVBOX_INIT_PATH"] = current.get("PATH", "")
        result["DEVBOX_PATH_STACK"] = f"{key}:DEVBOX_INIT_PATH"
        result[key] = join(result["PATH"], f"{project}/.devbox/virtenv/runx/bin")
        result["PATH"] = join(result[key], result["DEVBOX_INIT_PATH"])
        result["XDG_DATA_DIRS"] = join(result.get("XDG_DATA_DIRS", ""),
                                       current.get("XDG_DATA_DIRS", ""))
    result.update(given)
    return result


# -- projects at random --------------------------------------------------------------------------

PIECES = ["$HOME", "${HOME}", "$PWD/bin", "$PATH", "${NOT_SET}", "$", "$$", "${}", "${OPEN", "$1",
          "${?}", "$.x", "a b", "\"q\"", "'", "\\", "é", "\t", "#", "${A-b}", "$DEVBOX_WD", ":", "/..",
          "/./", "//", "end", "{", "}", "$ENV_ONE", "\U0001f40e", "`x`", "${$", "$-"]


def text(rng):
    return "".join(rng.choice(PIECES) for _ in range(rng.randint(0, 6)))


def store_path(rng, name):
    digest = "".join(rng.choice("0123456789abcdfghijklmnpqrsvwxyz") for _ in range(32))
    return f"/nix/store/{digest}-{name}"


def random_lock_entry(rng, name):
    systems = {}
    for system in rng.sample(SYSTEMS, rng.randint(0, 3)):
        outputs = [{"name": o, "path": store_path(rng, f"{name}-{o}"),
                    **({"default": True} if rng.random() < .5 else {})}
                   for o in rng.sample(["out", "bin", "dev", "man"], rng.randint(0, 3))]
        systems[system] = {"outputs": outputs}
        if rng.random() < .4:
            systems[system]["store_path"] = store_path(rng, name)
    return {"resolved": f"github:NixOS/nixpkgs/x#{name}", "version": "1", "systems": systems}


def random_packages(rng):
    names = ["hello", "jq", "emacsPackages.@", "a.b", "which", "github:o/r#x", "x@y", "python310",
             "redis", "nodejs_20", "php81Packages.composer", "postgresql_15", "rubyfmt", "apache"]
    versions = ["", "@latest", "@1.2"]
    if rng.random() < .5:
        return [rng.choice(names) + rng.choice(versions) for _ in range(rng.randint(0, 5))]
    result = {}
    for name in rng.sample(names, rng.randint(0, 5)):
        options = {}
        if rng.random() < .7:
            options["version"] = rng.choice(["latest", "1.2", ""])
        for field in ("platforms", "excluded_platforms"):
            if rng.random() < .3:
                options[field] = rng.sample(SYSTEMS, rng.randint(0, 3))
        if rng.random() < .3:
            options["outputs"] = rng.sample(["out", "bin", "man"], rng.randint(0, 2))
        if rng.random() < .3:
            options["disable_plugin"] = rng.random() < .7
        result[name] = options if rng.random() < .7 else rng.choice(["latest", "1.2", ""])
    return result


def random_project(rng):
    """(config, lock, lines of .env with their values, or None)."""
    names = ["A", "ENV_ONE", "ENV_TWO", "PATH", "_x9", "HOME", "bad-name", "//", "XDG_DATA_DIRS"]
    config = {"packages": random_packages(rng),
              "env": {name: text(rng) for name in rng.sample(names, rng.randint(0, 6))}}
    keys = [key for key, _, _ in packages(config)]
    lock = {"lockfile_version": "1",
            "packages": {key: random_lock_entry(rng, "p") for key in keys if rng.random() < .8}}
    dotenv = None
    if rng.random() < .4:
        config["env_from"] = "some.env"
        dotenv = {name: text(rng).replace("\t", " ") for name in
                  rng.sample(["ENV_ONE", "FROM_FILE", "A"], rng.randint(0, 3))}
    if rng.random() < .2:
        config["env"]["null"] = None
    return config, lock, dotenv


def as_written(rng, value, depth=0):
    """JSON as people write it: comments, commas at the end, space anywhere."""
    def space():
        return rng.choice(["", " ", "\n", "\t", " // to the end, \"{[\n", "/* , } */", "\r\n"])

    if not isinstance(value, (dict, list)) or not value:
        return json.dumps(value, ensure_ascii=rng.random() < .5)
    if isinstance(value, dict):
        parts = [space() + json.dumps(k) + space() + ":" + space() + as_written(rng, v, depth + 1)
                 for k, v in value.items()]
    else:
        parts = [space() + as_written(rng, v, depth + 1) for v in value]
    inside = ("," if rng.random() < .8 else " ,").join(part + space() for part in parts)
    comma = rng.choice(["", ","])
    return ("{%s}" if isinstance(value, dict) else "[%s]") % (inside + comma + space())


def dotenv_as_written(rng, values):
    lines = ["# a comment", ""]
    for name, value in values.items():
        quoted = "".join("\\" + c if c in "\"\\" else c for c in value)
        lines.append(rng.choice(["", "export ", "  "]) + name + rng.choice(["=", " = "]) +
                     f'"{quoted}"' + rng.choice(["", "  # why"]))
    return "\n".join(lines) + rng.choice(["", "\n"])
