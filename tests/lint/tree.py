"""What the checks share: the files of the tree, C text without comments, src/LAYERS, and results kept by content."""
import concurrent.futures
import hashlib
import os
import re
import shlex
import subprocess
import sys

PRODUCT = ("src", "storage", "net")


def files(suffixes, dirs=PRODUCT + ("tests",)):
    """Paths below `dirs` that end in one of the suffixes, sorted; whether git knows them yet or not."""
    found = []
    for top in dirs:
        for at, _, names in os.walk(top):
            found += [os.path.join(at, n) for n in names if n.endswith(suffixes)]
    return sorted(found)


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


_TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def code_only(text, keep_strings=False):
    """C text with comments (and the inside of literals) blanked, lines kept."""

    def blank(match):
        token = match.group()
        if token[0] in "\"'":
            return token if keep_strings else token[0] + token[0]
        return " " + "\n" * token.count("\n")

    return _TOKEN.sub(blank, text)


def layers():
    """src/LAYERS: {directory: set of directories it may use}."""
    table = {}
    for line in read("src/LAYERS").splitlines():
        if line.strip() and not line.startswith("#"):
            name, uses = line.split(":")
            table[name.strip()] = set(uses.split())
    return table


def layer_of(path, table):
    """The layer that a file belongs to: the longest directory of the table above it."""
    above = [d for d in table if path.startswith(d + "/")]
    return max(above, key=len, default=None)


def flags():
    """What the Makefile passes for preprocessing and warnings."""
    return shlex.split(os.environ["LINT_FLAGS"])


def preprocessor_flags():
    return [f for f in flags() if f[:2] in ("-I", "-D")] + ["-Itests/unit"]


def dependencies(paths):
    """{source: files of this tree that it includes, itself first}, by one run of the preprocessor for all."""
    rules = subprocess.run(["gcc", "-MM", "-MG"] + preprocessor_flags() + paths, capture_output=True, text=True, check=False)
    table = {p: [p] for p in paths}
    for rule in rules.stdout.replace("\\\n", " ").splitlines():
        names = rule.split(":", 1)[-1].split()
        if names and names[0] in table:
            table[names[0]] = names
    return table


def _digest(command, names):
    h = hashlib.sha256(" ".join(command).encode())
    for name in names:
        h.update(name.encode())
        if os.path.exists(name):
            with open(name, "rb") as f:
                h.update(f.read())
    return h.hexdigest()


def each(kind, command_of, paths, more=(), with_includes=True):
    """
    Runs command_of(path) for each path, as many at a time as there are processors, and returns the output of those that
    said something or failed. Silent successes are remembered in build/lint by the content of the command, of the file, of what it
    includes (where that matters) and of `more` (configuration).
    """
    kept = os.path.join("build/lint", kind)
    os.makedirs(kept, exist_ok=True)
    includes = dependencies(paths) if with_includes else {p: [p] for p in paths}
    version = subprocess.run([command_of(paths[0])[0], "--version"], capture_output=True, text=True, check=False).stdout

    def one(path):
        command = command_of(path)
        mark = os.path.join(kept, _digest(command + [version], includes[path] + list(more)))
        if os.path.exists(mark):
            return ""
        run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        output = re.sub(r"^\d+ warnings?( and \d+ errors?)? generated\.\n", "", run.stdout, flags=re.M).strip()
        if run.returncode == 0 and not output:
            open(mark, "w").close()
            return ""
        return output or f"{path}: {command[0]} ended with {run.returncode}"

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return [o for o in pool.map(one, paths) if o]


def finish(findings, summary):
    """Prints findings and the summary, and ends the check."""
    for line in findings:
        print(line)
    print("= " + summary)
    sys.exit(1 if findings else 0)
