#!/usr/bin/env python3
"""The bugs that tests/mutants.sh plants still have their places in the sources."""
import os
import subprocess

from lib import ROOT, scenario

with scenario() as scene:
    done = subprocess.run([os.path.join(ROOT, "tests", "mutants.sh"), "--list"], capture_output=True, text=True, check=False)
    scene.check("each can be planted", done.returncode == 0 and done.stdout.count("\n") > 10, done.stdout + done.stderr)
