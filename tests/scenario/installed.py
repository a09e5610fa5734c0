#!/usr/bin/env python3
"""What `cmake --install` puts somewhere is enough to build the first program of client/README.md, and it speaks with a broker."""
import os
import re
import subprocess

from lib import ROOT, build_directory, scenario


def sanitizer_flags():
    """A library with a sanitizer in it needs a program that has it, too."""
    with open(os.path.join(build_directory(), "CMakeCache.txt"), encoding="utf-8") as cache:
        named = re.search(r"^HATO_SANITIZE:\w+=(\w+)", cache.read(), re.MULTILINE)
    return [f"-fsanitize={named.group(1)}"] if named else []


def run(s, name, words, **more):
    done = subprocess.run(words, capture_output=True, text=True, check=False, **more)
    s.check(name, done.returncode == 0, done.stdout + done.stderr)
    return done.stdout


with scenario() as scene:
    broker = scene.broker()
    broker.hato("queue", "create", "jobs")
    prefix = scene.path("prefix")
    run(scene, "it installs where it is told", ["cmake", "--install", build_directory(), "--prefix", prefix])
    found = [at for at, _, files in os.walk(prefix) if "hato.pc" in files]
    told = run(scene, "pkg-config finds it there", ["pkg-config", "--cflags", "--libs", "hato"],
               env={**os.environ, "PKG_CONFIG_PATH": found[0]})
    with open(os.path.join(ROOT, "client", "README.md"), encoding="utf-8") as page:
        source = re.search(r"```c\n(.*?)```", page.read(), re.DOTALL).group(1).replace("127.0.0.1:9325", broker.server)
    with open(scene.path("first.c"), "w", encoding="utf-8") as file:
        file.write(source)
    run(scene, "the README's program compiles",
        ["cc", *sanitizer_flags(), scene.path("first.c"), "-o", scene.path("first"), *told.split()])
    library = os.path.dirname(found[0])
    scene.contains("and works", run(scene, "it runs", [scene.path("first")], env={**os.environ, "LD_LIBRARY_PATH": library}),
                   ": hello\n")
