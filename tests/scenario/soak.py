#!/usr/bin/env python3
"""tests/soak.sh runs what it is asked for, and does not take a simulator that dies for one that has nothing to say."""
import os
import re
import subprocess

from lib import ROOT, build_directory, scenario


def soak(*words, build=None):
    return subprocess.run([os.path.join(ROOT, "tests", "soak.sh"), *words], capture_output=True, text=True, check=False,
                          stdin=subprocess.DEVNULL, env={**os.environ, "HATO_BUILD": build or build_directory()})


def failing(s, name, script):
    """A build whose simulator is this script."""
    program = os.path.join(s.directory, name, "tests", "simulate")
    os.makedirs(os.path.dirname(program))
    with open(program, "w", encoding="ascii") as file:
        file.write(f"#!/bin/sh\n{script}\n")
    os.chmod(program, 0o755)
    return os.path.join(s.directory, name)


with scenario() as scene:
    done = soak("--seeds", "3", "--nodes", "1,3", "--seconds", "5", "--jobs", "2", "--from", "7")
    scene.equal("all seeds are run for each number of nodes", (done.returncode, done.stdout), (0, "6 passed, 0 failed\n"))
    done = soak("--seeds", "2", "--nodes", "1", build=failing(scene, "one", 'echo "ok 1 - x"; echo "# replay: y"; echo "not ok 2 - z"; exit 1'))
    scene.equal("a seed that fails is told with its replay", (done.returncode, done.stdout),
                (1, "# replay: y\nnot ok 2 - z\n1 passed, 1 failed\n"))
    done = soak("--seeds", "2", "--nodes", "1", build=failing(scene, "two", 'echo "ok 1 - x"; kill -ABRT $$'))
    scene.check("a simulator that dies is named with its call, and what it did not run has not passed",
                done.returncode == 1 and "it ended with 134" in done.stdout and done.stdout.endswith("1 passed, 1 failed\n"), done.stdout)
    for words in (["--seeds", "0"], ["--nodes", "6"], ["--nodes", "1,"], ["--jobs"], ["--bogus"]):
        done = soak(*words)
        scene.check(f"soak.sh {' '.join(words)} is refused by name", done.returncode == 2 and re.search(words[0], done.stderr), done.stderr)
