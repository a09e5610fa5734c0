#!/usr/bin/env python3
"""The first contact: deploy/quickstart.sh, with the build that is tested."""
import os
import subprocess
import tempfile

from lib import ROOT, build_directory, scenario

with scenario() as s:
    with tempfile.TemporaryDirectory(dir=s.directory) as temporary:
        environment = {**os.environ, "HATO_BUILD": build_directory(), "TMPDIR": temporary}
        for run in ("first", "second"):
            done = subprocess.run([os.path.join(ROOT, "deploy", "quickstart.sh")], stdin=subprocess.DEVNULL, capture_output=True,
                                  text=True, env=environment, check=False)
            s.check(f"the {run} run ends well", done.returncode == 0, done.stdout + done.stderr)
            s.equal("and leaves nothing behind", os.listdir(temporary), [])
        s.contains("it shows the counts", done.stdout, "QUEUE      READY")
        s.contains("the dead letters with their reason", done.stdout, "last error: HTTP 422: cannot count the words of '!poison 1'")
        s.contains("and what became of all", done.stdout, "3 poisoned lines in the dead-letter queue. Nothing is left running.")
        done = subprocess.run([os.path.join(ROOT, "deploy", "quickstart.sh"), os.path.join(ROOT, "deploy", "quickstart.sh")],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, check=False)
        s.check("any text will do", done.returncode == 0, done.stdout + done.stderr)
