#!/usr/bin/env python3
"""The first contact: deploy/quickstart.sh, with the build that is tested."""
import os
import subprocess
import tempfile

from lib import ROOT, build_directory, scenario

with scenario() as s:
    with tempfile.TemporaryDirectory(dir=s.directory) as temporary:
        environment = {**os.environ, "HATO_BUILD": build_directory(), "TMPDIR": temporary}
        nowhere = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "all_proxy")}
        for run, more in (("first", {}), ("second, behind a proxy that is not there,", {**nowhere, "no_proxy": ""})):
            done = subprocess.run([os.path.join(ROOT, "deploy", "quickstart.sh")], stdin=subprocess.DEVNULL, capture_output=True,
                                  text=True, env={**environment, **more}, check=False)
            s.check(f"the {run} run ends well", done.returncode == 0, done.stdout + done.stderr)
            s.equal("and leaves nothing behind", os.listdir(temporary), [])
        s.contains("it shows the counts", done.stdout, "QUEUE      READY")
        s.contains("the dead letters with their reason", done.stdout, "last error: HTTP 422: cannot count the words of '!poison 1'")
        s.contains("and what became of all", done.stdout, "3 poisoned lines in the dead-letter queue. Nothing is left running.")
        strange = os.path.join(s.directory, "strange text")
        with open(strange, "wb") as file:
            file.write("鳩 ひと\n\na\u00a0b\u2003c\td\x0b e\n".encode() + b"\xff\xfe \x80\nno end")
        for name in (strange, os.path.join(ROOT, "deploy", "quickstart.sh"), os.devnull):
            done = subprocess.run([os.path.join(ROOT, "deploy", "quickstart.sh"), name], stdin=subprocess.DEVNULL,
                                  capture_output=True, env=environment, check=False)
            told = (done.stdout + done.stderr).decode(errors="replace")
            if name == os.devnull:
                s.check("what is no file is refused", done.returncode == 1 and "is not a file" in told, told)
            else:
                s.check("any text will do", done.returncode == 0, told)
