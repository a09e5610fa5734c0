"""What tests/run.sh does once the packages are there: build, then every kind of check, then one line with the counts.

Programs tell their checks in TAP lines ("ok 1 - name", "not ok 2 - name"), on standard output (simulation, scenarios,
fuzzers' corpora) or in a file (libcheck). A program that fails without naming a failed check counts as one, and so does
one that names no check at all: silence is no success. What could not be checked on this machine ("ok 1 - name # SKIP why") is
counted apart.
"""
import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PARTS = ["format", "lint", "includes", "unit", "fuzz", "sim", "scenario"]
UNBUILT_PARTS = ["format", "includes"]
PARTIAL_PARTS = [*UNBUILT_PARTS, "lint", "unit", "fuzz", "sim"]  # these look at whatever could be built
SCENARIO_LIBRARIES = ["history.py", "lib.py", "native.py", "workers.py"]
SANITIZED_PARTS = ["unit", "fuzz", "sim", "scenario"]
TAP = re.compile(r"^(not )?ok\b[ \t]*(\d+)?[ \t]*-?[ \t]*(.*)$")
SKIP = re.compile(r"#\s*skip\b", re.IGNORECASE)
# A program that hangs is ended, so that the run tells of it; nothing near this long is expected of any.
HANG_SECONDS = 3600
SHOWN_LINES = 200
SEEDS = {1: 150, 3: 60, 5: 20}  # of the simulation, by the number of nodes
SANITIZED_SEEDS = {1: 30, 3: 10, 5: 4}


class Tally:
    """Prints each check as it ends, keeps the counts, and repeats the failed ones at the end."""

    def __init__(self):
        self.passed = 0
        self.failed = []
        self.skipped = []

    def skip(self, name):
        self.skipped.append(name)
        print(f"skipped {name}", flush=True)

    def record(self, name, good, output=""):
        if good:
            self.passed += 1
            print(f"ok      {name}")
        else:
            self.failed.append(name)
            print(f"FAILED  {name}")
            lines = output.rstrip().splitlines()
            if len(lines) > SHOWN_LINES:
                lines = [f"({len(lines) - SHOWN_LINES} lines before these)"] + lines[-SHOWN_LINES:]
            for line in lines:
                print(f"        {line}")
        sys.stdout.flush()

    def close(self):
        if self.failed:
            print("\nFailed:")
            for name in self.failed:
                print(f"  {name}")
        if self.skipped:
            print("\nSkipped:")
            for name in self.skipped:
                print(f"  {name}")
            print(f"{len(self.skipped)} skipped")
        print(f"{self.passed} passed, {len(self.failed)} failed")
        return 1 if self.failed or self.passed + len(self.skipped) == 0 else 0


class Run:
    def __init__(self, options):
        self.options = options
        suffix = f"-{options.sanitize}" if options.sanitize else ""
        self.build = os.path.join(ROOT, "build", "test" + suffix)
        self.jobs = os.cpu_count() or 1
        self.built = None
        self.tally = Tally()
        self.environment = self.make_environment()

    def make_environment(self):
        env = dict(os.environ)
        env["HATO_BUILD"] = self.build
        env["CK_VERBOSITY"] = "normal"
        suppressions = os.path.join(ROOT, "tests", "lint", "tsan.txt")
        env["ASAN_OPTIONS"] = "detect_leaks=1:halt_on_error=1:abort_on_error=0:detect_stack_use_after_return=1"
        env["UBSAN_OPTIONS"] = "print_stacktrace=1:halt_on_error=1"
        env["TSAN_OPTIONS"] = f"halt_on_error=1:second_deadlock_stack=1:suppressions={suppressions}"
        if self.options.sanitize:
            env["HATO_SANITIZE"] = self.options.sanitize
        env["HATO_WRAP"] = " ".join(self.wrapper())
        return env

    def wrapper(self):
        """The thread sanitizer wants an address space laid out without much randomness. Where the machine forbids asking
        for that, it may be so already."""
        words = ["setarch", "-R"]
        if self.options.sanitize != "thread":
            return []
        try:
            allowed = subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0
        except OSError:
            allowed = False
        return words if allowed else []

    def wants(self, name):
        return self.options.filter is None or self.options.filter in name

    def call(self, command, **more):
        """Runs to the end; returns the code and everything it said."""
        try:
            done = subprocess.run(command, cwd=ROOT, env={**self.environment, **more}, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=HANG_SECONDS, check=False)
        except subprocess.TimeoutExpired as late:
            return 1, (late.output or b"").decode(errors="replace") + f"\nended after {HANG_SECONDS} s without an end"
        except OSError as problem:
            return 1, str(problem)
        text = done.stdout.decode(errors="replace")
        if done.returncode < 0:
            text += f"\nended by signal {-done.returncode}"
        return done.returncode, text

    def files(self, *suffixes):
        """Our own files: known to git or new, never ignored."""
        code, text = self.call(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        if code != 0:
            names = [os.path.relpath(os.path.join(at, name), ROOT)
                     for at, _, found in os.walk(ROOT) for name in found]
            names = [name for name in names if not name.startswith(("build", ".git/"))]
        else:
            names = text.split("\0")
        return sorted({name for name in names if name.endswith(suffixes) and os.path.isfile(os.path.join(ROOT, name))})

    # ------------------------------------------------------------ build

    def compile(self):
        if not os.path.exists(os.path.join(self.build, "build.ninja")):
            os.makedirs(self.build, exist_ok=True)
        configure = ["cmake", "-S", ROOT, "-B", self.build, "-G", "Ninja", "-DHATO_WERROR=ON", "-DHATO_TESTS=ON"]
        configure.append(f"-DHATO_SANITIZE={self.options.sanitize or ''}")
        code, text = self.call(configure)
        if code == 0:
            code, text = self.call(["ninja", "-C", self.build, "-k", "0", f"-j{self.jobs}"])
            # What compiled is in the way of the failures when both are shown.
            text = "\n".join(line for line in text.splitlines() if not re.match(r"\[\d+/\d+\] ", line))
        if code != 0:
            self.tally.record("build", False, text)
        return code == 0

    # ------------------------------------------------------------ style

    def part_format(self):
        files = self.files(".c", ".h")
        code, text = self.call(["clang-format", "--dry-run", "-Werror", *files]) if files else (0, "")
        places = {}
        for name, line in re.findall(r"^(\S+?):(\d+):\d+: error: ", text, re.M):
            places.setdefault(name, []).append(line)
        text = "\n".join(f"{name}: lines {', '.join(dict.fromkeys(lines))}" for name, lines in places.items()) or text
        self.tally.record("format: clang-format", code == 0, text + "\nclang-format -i puts it right")
        scripts = self.files(".sh") + [name for name in (".ci/run",) if os.path.exists(os.path.join(ROOT, name))]
        code, text = self.call(["shellcheck", *scripts]) if scripts else (0, "")
        self.tally.record("format: shellcheck", code == 0, text)

    def part_includes(self):
        code, text = self.call([sys.executable, "tests/lint/includes.py"])
        self.tally.record("includes: downward only, one home per dependency", code == 0, text)

    def part_lint(self):
        units = self.lint_units()
        with ThreadPoolExecutor(self.jobs) as pool:
            outcomes = list(pool.map(self.lint_one, units))
        bad = [text for good, text in outcomes if not good]
        self.tally.record(f"lint: clang-tidy, {len(units)} files", not bad and len(units) > 0, "\n".join(bad))

    def lint_units(self):
        """(file, hash of all that decides the outcome) of each of our compilation units."""
        try:
            with open(os.path.join(self.build, "compile_commands.json"), encoding="utf-8") as file:
                commands = json.load(file)
        except OSError:
            return []  # not even configured, which is told already
        with open(os.path.join(ROOT, ".clang-tidy"), "rb") as file:
            rules = file.read()
        headers = self.headers_of_objects()
        units = {}
        for command in commands:
            name = os.path.relpath(command["file"], ROOT)
            if name.startswith(("..", "build")) or not self.wants(name):
                continue
            digest = hashlib.sha256(rules + command["command"].encode())
            output = re.search(r" -o (\S+)", command["command"])
            for path in [command["file"]] + headers.get(output.group(1) if output else "", []):
                try:
                    with open(path, "rb") as file:
                        digest.update(file.read())
                except OSError:
                    digest.update(b"absent")
            units[name] = digest.hexdigest()
        return sorted(units.items())

    def headers_of_objects(self):
        """Object file to those of its headers that are ours or generated, as ninja has learnt them."""
        _, text = self.call(["ninja", "-C", self.build, "-t", "deps"])
        headers = {}
        current = None
        for line in text.splitlines():
            if line.startswith("    ") and current is not None:
                path = os.path.join(self.build, line.strip())
                if path.startswith(ROOT):
                    current.append(path)
            elif ": #deps" in line:
                current = headers.setdefault(line.split(":")[0], [])
        return headers

    def lint_one(self, unit):
        name, digest = unit
        mark = os.path.join(self.build, "lint", digest)
        if os.path.exists(mark):
            return True, ""
        code, text = self.call(["clang-tidy", "-p", self.build, "--quiet", os.path.join(ROOT, name)])
        if code == 0:
            os.makedirs(os.path.dirname(mark), exist_ok=True)
            with open(mark, "w", encoding="utf-8"):
                pass
        return code == 0, "\n".join(line for line in text.splitlines() if "warnings generated" not in line)

    # ------------------------------------------------------------ programs

    def programs(self, folder, name_of):
        """The programs made from the C files of a folder; what an older build left behind is not among them."""
        found = [name_of(path) for path in self.files(".c") if path.startswith(folder + "/")]
        return [name for name in sorted(filter(None, found)) if self.wants(name) and self.current(f"tests/{name}")]

    def current(self, target):
        """Whether the program stands as the sources are now. After a failed build the others are tested all the same."""
        return self.built or self.call(["ninja", "-C", self.build, target])[0] == 0

    def program(self, name):
        return os.path.join(self.build, "tests", name)

    def command(self, *words):
        return [*self.environment["HATO_WRAP"].split(), *words]

    def judge(self, title, code, tap, output):
        """Records the checks of one program: `tap` has their lines, `output` all it said."""
        checks = [found.groups() for found in map(TAP.match, tap.splitlines()) if found]
        failures = 0
        for bad, _, name in checks:
            failures += 1 if bad else 0
            if not bad and SKIP.search(name):
                self.tally.skip(f"{title}: {name}")
                continue
            self.tally.record(f"{title}: {name}", not bad, output)
            output = "" if bad else output
        if code != 0 and failures == 0:
            self.tally.record(f"{title}: ends with success", False, f"{output}\nexit code {code}")
        elif not checks:
            self.tally.record(f"{title}: names its checks", False, output)

    def part_unit(self):
        def name_of(path):
            found = re.fullmatch(r"tests/unit/(\w+)/(\w+)_test\.c", path)
            return f"test_{found.group(1)}_{found.group(2)}" if found else None

        names = self.programs("tests/unit", name_of)
        with ThreadPoolExecutor(self.jobs) as pool:
            for name, (code, tap, text) in zip(names, pool.map(self.unit_one, names)):
                self.judge(f"unit: {name}", code, tap, text)

    def unit_one(self, name):
        log = self.program(name) + ".tap"
        if os.path.exists(log):
            os.unlink(log)
        code, text = self.call(self.command(self.program(name)), CK_TAP_LOG_FILE_NAME=log)
        return code, self.read_tap(log), text

    @staticmethod
    def read_tap(log):
        """libcheck's lines are "ok N - FILE:SUITE:NAME: WHY"; the plan "1..N" must agree with them."""
        try:
            with open(log, encoding="utf-8", errors="replace") as file:
                lines = file.read().splitlines()
        except OSError:
            return ""
        tap = []
        planned = 0
        rounds = {}
        for line in lines:
            found = TAP.match(line)
            if found:
                words = found.group(3).split(":")
                name = words[2] if len(words) > 2 else found.group(3)
                rounds[name] = rounds.get(name, 0) + 1  # a loop test tells of each round
                tap.append(f"{found.group(1) or ''}ok - {name}" + (f" ({rounds[name]})" if rounds[name] > 1 else ""))
            elif re.match(r"^1\.\.\d+$", line):
                planned = int(line[3:])
        if planned != len(tap):
            tap.append(f"not ok - all {planned} cases are told of, {len(tap)} were")
        return "\n".join(tap)

    def part_fuzz(self):
        """The kept corpus of each fuzzer, through a plain main."""
        def name_of(path):
            found = re.fullmatch(r"tests/fuzz/(\w+)\.c", path)
            return f"corpus_{found.group(1)}" if found else None

        for name in self.programs("tests/fuzz", name_of):
            corpus = os.path.join(ROOT, "tests", "fuzz", "corpus", name[len("corpus_"):])
            code, text = self.call(self.command(self.program(name), corpus))
            self.judge(f"fuzz: {name}", code, text, text)

    def part_sim(self):
        """Seeds, divided among the processors; `--only sim --filter N` runs seed N alone, of each number of nodes."""
        if not os.path.exists(os.path.join(ROOT, "tests", "sim", "CMakeLists.txt")):
            return
        filtered = self.options.filter is not None
        if (filtered and self.options.only != "sim") or not self.current("tests/simulate"):
            return
        shares = []
        for nodes, seeds in (SANITIZED_SEEDS if self.options.sanitize else SEEDS).items():
            each = -(-seeds // self.jobs)
            if filtered:
                shares.append(["--nodes", str(nodes), "--seed", self.options.filter])
            else:
                shares += [["--nodes", str(nodes), "--from", str(1 + i * each), "--seeds", str(each)]
                           for i in range(self.jobs)]
        with ThreadPoolExecutor(self.jobs) as pool:
            calls = [self.command(self.program("simulate"), *share) for share in shares]
            for share, (code, text) in zip(shares, pool.map(self.call, calls)):
                self.judge(f"sim {' '.join(share)}", code, text, text)

    def part_scenario(self):
        folder = os.path.join(ROOT, "tests", "scenario")
        names = os.listdir(folder) if os.path.isdir(folder) else []
        for name in sorted(names):
            path = os.path.join(folder, name)
            if not name.endswith((".sh", ".py")) or name in SCENARIO_LIBRARIES or not self.wants(name):
                continue
            if os.access(path, os.X_OK):
                code, text = self.call([path], PYTHONUNBUFFERED="1")
                self.judge(f"scenario: {name}", code, text, text)
            else:
                self.judge(f"scenario: {name}", 1, "", "not executable: chmod +x it, or name it in SCENARIO_LIBRARIES")

    # ------------------------------------------------------------ all

    def all(self):
        parts = SANITIZED_PARTS if self.options.sanitize else PARTS
        if self.options.only:
            parts = [self.options.only]
        started = time.monotonic()
        for part in parts:
            if part not in UNBUILT_PARTS and self.built is None:
                self.built = self.compile()
            if self.built or part in PARTIAL_PARTS:
                getattr(self, "part_" + part)()
                print(f"        ({part}: {time.monotonic() - started:.0f} s into the run)")
        return self.tally.close()


def main():
    parser = argparse.ArgumentParser(prog="tests/run.sh", description="Builds and runs the tests; closes with the counts.")
    parser.add_argument("--sanitize", choices=["address", "undefined", "thread"],
                        help="unit, fuzz corpus, simulation and scenarios in a build with this sanitizer")
    parser.add_argument("--only", choices=PARTS, help="one part")
    parser.add_argument("--filter", metavar="NAME", help="only programs (of lint: files) whose name holds NAME; with "
                        "--only sim: the seed of this number")
    options = parser.parse_args()
    if options.sanitize and options.only and options.only not in SANITIZED_PARTS:
        parser.error(f"--sanitize goes with the parts {', '.join(SANITIZED_PARTS)}")
    return Run(options).all()


if __name__ == "__main__":
    sys.exit(main())
