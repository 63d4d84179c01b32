#!/usr/bin/env python3
"""check: command lines as docker's own client judges them, and as we do.

    check.py compare FILE...   asks coracle; every verdict must be the recorded one
    check.py oracle FILE...    asks the installed docker client (28.2), without an engine; every verdict must be the recorded one
    check.py record FILE...    writes both verdicts anew, for a look at the difference

A case is "$ words of the command line", then what docker's client says, then, where it is not the same, what we say:

    $ run --memory x img
    docker: 125 invalid argument "x" for "-m, --memory" flag: invalid size: 'x'

    $ run --stop-signal FOO img
    docker: engine
    ours: 125 invalid signal: FOO

A verdict is the exit code and the first line on standard error, with the program's name as PROG. "engine": for the client the command line is good,
and only the engine is missing that would look at the rest. The store is empty, so there the best that we can say is that something is not found.
"""
import os, re, shlex, subprocess, sys, tempfile
from concurrent.futures import ThreadPoolExecutor

NO_ENGINE = re.compile(r"Cannot connect to the Docker daemon|failed to connect to the docker API|error during connect")


def judge(prog, line, cwd):
    env = dict(os.environ, DOCKER_HOST="unix:///nonexistent.sock", LC_ALL="C.UTF-8", DOCKER_CONFIG=cwd, HOME=cwd, XDG_CONFIG_HOME=cwd)
    p = subprocess.run([prog, *shlex.split(line)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, cwd=cwd, env=env)
    if NO_ENGINE.search(p.stderr):
        return "engine"
    lines = [l.strip() for l in p.stderr.splitlines() if l.strip() and not l.startswith("WARNING")]
    first = re.sub(rf"^{prog}: ", "", lines[0]) if lines else ""
    first = re.sub(rf"\b{prog}\b", "PROG", first, flags=re.I)
    return re.sub(r"\b[0-9a-f]{64}\b", "ID", f"{p.returncode} {first}").strip()


def load(path):
    cases = []
    with open(path) as f:
        for text in f.read().splitlines():
            if text.startswith("$ "):
                cases.append({"line": text[2:]})
            elif text.startswith(("docker: ", "ours: ")):
                who, verdict = text.split(": ", 1)
                cases[-1][who] = verdict
    return cases


def save(path, cases):
    with open(path, "w") as f:
        for c in cases:
            f.write(f"$ {c['line']}\ndocker: {c['docker']}\n")
            if c["ours"] != c["docker"]:
                f.write(f"ours: {c['ours']}\n")


def ask(prog, cases):
    """The verdicts on all cases, each in an empty directory of its own that is home, store and configuration."""

    def alone(c):
        with tempfile.TemporaryDirectory() as cwd:
            return judge(prog, c["line"], cwd)

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(alone, cases))


def differing(path, who, prog):
    cases = load(path)
    bad = 0
    for c, said in zip(cases, ask(prog, cases)):
        wanted = c.get(who, c["docker"])
        if said != wanted:
            bad += 1
            print(f"$ {c['line']}\n  recorded: {wanted}\n  said:     {said}")
    print(f"{os.path.basename(path)}: {len(cases)} command lines, {bad} judged otherwise")
    return bad


def record(path):
    cases = load(path)
    for who, prog in (("docker", "docker"), ("ours", "coracle")):
        for c, said in zip(cases, ask(prog, cases)):
            c[who] = said
    save(path, cases)


if __name__ == "__main__":
    verb, *files = sys.argv[1:]
    if verb == "record":
        for name in files:
            record(name)
    else:
        who, prog = {"compare": ("ours", "coracle"), "oracle": ("docker", "docker")}[verb]
        sys.exit(1 if sum(differing(name, who, prog) for name in files) else 0)
