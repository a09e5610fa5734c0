#!/usr/bin/env python3
"""What deploy/ has for those who run Hato: its files say nothing that the programs do not, and cluster.sh does what it says."""
import json
import os
import re
import shutil
import subprocess

import native
from lib import ROOT, build_directory, program, scenario

DEPLOY = os.path.join(ROOT, "deploy")
# What Prometheus puts on a series, and what an expression itself brings.
OF_PROMETHEUS = {"job", "instance"}
QUOTED = re.compile(r'"[^"]*"')
SELECTOR = re.compile(r"\b([a-z_]+)\s*\{([^}]*)\}")
LABELS = re.compile(r"\b(?:by|on|without|group_right|group_left|ignoring)\s*\(([^)]*)\)")
SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? \S+$", re.M)


def text_of(name):
    with open(os.path.join(DEPLOY, name), encoding="utf-8") as file:
        return file.read()


def documents(name):
    import yaml  # pylint: disable=import-outside-toplevel
    return [one for one in yaml.safe_load_all(text_of(name)) if one is not None]


def has_yaml():
    try:
        import yaml  # pylint: disable=import-outside-toplevel,unused-import
        return True
    except ImportError:
        return False


# ------------------------------------------------------------ names


def series(nodes):
    """Metric -> labels, over the pages of all nodes."""
    found = {}
    for node in nodes:
        for name, labels in SAMPLE.findall(node.get("/metrics")[1]):
            found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return found


def busy(s):
    """Three nodes with one of everything that has series."""
    nodes = s.cluster(3)
    endpoint = s.endpoint()
    with native.Connection(nodes[0].port) as c:
        c.call("queue_create", name="jobs")
        c.call("function_create", name="f", settings={"url": endpoint.url})
        c.send("jobs", b"hello")
        c.call("bind", queue="jobs", function="f")
    wanted = ("hato_function_delivered_total", "hato_queue_wait_seconds_bucket")
    s.wait_for("a queue and a function to have series", lambda: all(one in series(nodes) for one in wanted))
    return nodes


def unknown(expression, known):
    """What an expression names that no page of metrics has: metrics, and labels of them."""
    wrong = []
    names = re.findall(r"\b(?:hato_\w+|up)\b", QUOTED.sub('""', expression))
    if not names:
        wrong.append("no metric at all")
    labels = set(OF_PROMETHEUS)
    for name in names:
        if name != "up" and name not in known:
            wrong.append(name)
        labels |= known.get(name, set())
    used = {label for inside in LABELS.findall(expression) for label in re.findall(r"\w+", inside)}
    for metric, inside in SELECTOR.findall(expression):
        matched = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", QUOTED.sub("", inside))
        wrong += [f"{metric}{{{label}}}" for label in matched if label not in known.get(metric, set()) | OF_PROMETHEUS]
    return wrong + sorted(used - labels)


def board_expressions():
    panels = json.loads(text_of("grafana.json"))["panels"]
    return [(panel["title"], target["expr"]) for panel in panels for target in panel.get("targets", [])]


def expressions_name_what_there_is(s, known):
    s.equal("the check of expressions sees what is not there",
            [unknown(one, known) for one in ("hato_queue_redy", "sum by (host) (hato_connections)", 'hato_connections{queue="a"}')],
            [["hato_queue_redy"], ["host"], ["hato_connections{queue}"]])
    board = json.loads(text_of("grafana.json"))
    asked = board_expressions()
    asked += [(one["name"], one["definition"]) for one in board["templating"]["list"] if one["type"] == "query"]
    bad = [(title, wrong) for title, one in asked
           if (wrong := unknown(re.sub(r"label_values\((.*), *(\w+)\)$", r"sum by (\2) (\1)", one), known))]
    s.check(f"the board's {len(asked)} expressions name what a cluster's pages have", asked and not bad, bad)
    ids = [panel["id"] for panel in board["panels"]]
    s.equal("its panels have ids of their own", len(ids), len(set(ids)))


def alerts(s, known):
    rules = [rule for group in documents("alerts.yaml")[0]["groups"] for rule in group["rules"]]
    bad = [(rule["alert"], wrong) for rule in rules if (wrong := unknown(rule["expr"], known))]
    s.check(f"the {len(rules)} alerts name what a cluster's pages have", rules and not bad, bad)
    page = text_of("README.md")
    s.equal("the page says what each alert means", [rule["alert"] for rule in rules if f"`{rule['alert']}`" not in page], [])
    s.equal("and speaks of no other", set(re.findall(r"`(Hato[A-Z]\w+)`", page)) - {rule["alert"] for rule in rules}, set())
    with open(os.path.join(ROOT, "tests", "scenario", "deploy_alerts.yaml"), encoding="utf-8") as file:
        tested = file.read()
    s.equal("each alert is tested, silent and told", [rule["alert"] for rule in rules if tested.count(f"alertname: {rule['alert']}") < 2
                                                      and tested.count(f"alertname: {rule['alert']},") < 2], [])
    if shutil.which("promtool") is None:
        s.check("promtool takes the alerts, and their tests # SKIP promtool is not installed (Debian: prometheus)", True)
        return
    rules = s.path("board.yaml")  # JSON is YAML
    with open(rules, "w", encoding="utf-8") as file:
        json.dump({"groups": [{"name": "board", "rules": [{"record": f"board:{number}", "expr": one.replace("$__rate_interval", "5m")}
                                                          for number, (_, one) in enumerate(board_expressions())]}]}, file)
    for words in (["check", "rules", rules], ["check", "rules", os.path.join(DEPLOY, "alerts.yaml")],
                  ["test", "rules", os.path.join(ROOT, "tests", "scenario", "deploy_alerts.yaml")]):
        done = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)
        s.check(f"promtool {words[0]} rules {os.path.basename(words[2])}", done.returncode == 0, done.stdout + done.stderr)


# ------------------------------------------------------------ settings


def settings():
    """The HATO_* variables the broker knows, from its own help."""
    done = subprocess.run([*program("hatod"), "--help"], capture_output=True, text=True, check=True)
    return {"HATO_" + flag.upper().replace("-", "_") for flag in re.findall(r"^  --([a-z-]+)", done.stdout, re.M)}


def containers(s, known):
    compose = documents("compose.yaml")[0]
    nodes = compose["services"]
    used = {name for one in nodes.values() for name in one["environment"]}
    s.equal("compose.yaml sets what the broker knows", used - known, set())
    s.equal("its three nodes are numbered, and named to each other",
            [(name, one["environment"]["HATO_NODE"], f"{one['environment']['HATO_NODE']}={name}:9400" in one["environment"]["HATO_PEERS"])
             for name, one in nodes.items()], [(f"hato-{n}", str(n), True) for n in (1, 2, 3)])
    s.equal("each has a volume of its own", len({one["volumes"][0] for one in nodes.values()}), 3)
    objects = {one["kind"] + "/" + one["metadata"]["name"]: one for one in documents("kubernetes.yaml")}
    state = objects["StatefulSet/hato"]["spec"]
    pod = state["template"]["spec"]
    variables = {one["name"]: one.get("value") for one in pod["containers"][0]["env"]}
    s.equal("kubernetes.yaml sets what the broker knows", {name for name in variables if name.startswith("HATO_")} - known, set())
    s.equal("its nodes are the pods of the set", variables["HATO_PEERS"].split(","),
            [f"{n + 1}=hato-{n}.{state['serviceName']}.$(NAMESPACE).svc:9400" for n in range(state["replicas"])])
    labels = state["template"]["metadata"]["labels"].items()
    chosen = [one["spec"]["selector"] for one in (objects["Service/hato"], objects["Service/hato-peers"])]
    chosen += [one["spec"]["selector"]["matchLabels"] for one in (objects["PodDisruptionBudget/hato"], objects["StatefulSet/hato"])]
    s.equal("services, budget and set choose its pods", [one for one in chosen if not one.items() <= labels], [])
    number = pod["containers"][0]["args"][0].split("--node ")[1]
    done = subprocess.run(["sh", "-c", f"echo {number}"], capture_output=True, text=True, check=True,
                          env={**os.environ, "HOSTNAME": "hato-2"})
    s.equal("pod hato-2 is node 3", done.stdout.strip(), "3")
    image = text_of("Containerfile")
    copied = [word for line in re.findall(r"^COPY (?!--from)(.*) \S+$", image, re.M) for word in line.split()]
    s.equal("the Containerfile copies what there is", [one for one in copied if not os.path.exists(os.path.join(ROOT, one))], [])
    needed = {"broker", "client", "proto", "CMakeLists.txt", "deploy/install-deps.sh"}
    s.equal("and all that a build needs", needed - set(copied), set())


def unit(s, known):
    text = text_of("hatod.service")
    page = set(re.findall(r"\bHATO_[A-Z_]+", text + text_of("README.md")))
    s.equal("unit and page name settings the broker knows", page - known - {"HATO_", "HATO_SERVER", "HATO_BUILD", "HATO_CLUSTER_DIR"}, set())
    if shutil.which("systemd-analyze") is None:
        s.check("systemd takes the unit # SKIP systemd-analyze is not installed", True)
        return
    path = s.path("hatod.service")  # the program that is tested, in a place it has surely
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace("/usr/local/bin/hatod", os.path.abspath(os.path.join(build_directory(), "bin", "hatod"))))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True, check=False)
    s.check("systemd takes the unit", done.returncode == 0 and "hatod.service" not in done.stderr, done.stdout + done.stderr)


# ------------------------------------------------------------ cluster.sh


def cluster(s):
    where = s.path("cluster")
    environment = {**os.environ, "HATO_BUILD": build_directory(), "HATO_CLUSTER_DIR": where}

    def script(*words):
        command = [*os.environ.get("HATO_WRAP", "").split(), os.path.join(DEPLOY, "cluster.sh"), *words]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, check=False)

    def hato(*words):
        return subprocess.run([*program("hato"), *words], capture_output=True, text=True, check=False,
                              env={**environment, "HATO_SERVER": servers})

    s.refused("without a cluster there is nothing to show", script("--status"), "there is no cluster")
    s.equal("--help ends well", script("--help").returncode, 0)
    for words in (["--kill"], ["--kill", "4"], ["--start", "x"], ["--keep"], ["up"]):
        s.equal(f"{' '.join(words)} is wrong usage", script(*words).returncode, 2)
    try:
        began = script()
        s.check("three nodes start", began.returncode == 0 and began.stdout.count("leads ") == 3, began.stdout + began.stderr)
        servers = re.search(r"HATO_SERVER=(\S+)", began.stdout).group(1)
        s.refused("a second start is refused", script(), "runs already")
        s.equal("a queue is made", hato("queue", "create", "jobs").returncode, 0)
        s.equal("a message is sent", hato("send", "jobs", "hello").returncode, 0)
        killed = script("--kill", "1")
        s.check("a node is killed", killed.returncode == 0 and killed.stdout.count("not running") == 1, killed.stdout + killed.stderr)
        s.refused("once", script("--kill", "1"), "does not run")
        s.contains("the message is received from the others", hato("receive", "jobs", "--wait", "60s", "--visibility", "0s").stdout, "hello")
        again = script("--start", "1")
        s.check("it starts again", again.returncode == 0 and "not running" not in again.stdout, again.stdout + again.stderr)
        kept = script("--stop", "--keep")
        s.check("all stop, and keep their data", kept.returncode == 0 and os.path.isdir(os.path.join(where, "1", "data")),
                kept.stdout + kept.stderr)
        s.equal("nothing runs", script("--status").stdout.count("not running"), 3)
        began = script()
        s.check("they start with it", began.returncode == 0, began.stdout + began.stderr)
        s.contains("and still have the message", hato("receive", "jobs", "--wait", "60s").stdout, "hello")
    finally:
        stopped = script("--stop")
    s.check("all stop", stopped.returncode == 0, stopped.stdout + stopped.stderr)
    s.check("and leave nothing behind", not os.path.exists(where))


def main():
    with scenario() as s:
        known = series(busy(s))
        expressions_name_what_there_is(s, known)
        variables = settings()
        unit(s, variables)
        if has_yaml():
            alerts(s, known)
            containers(s, variables)
        else:
            s.check("alerts and container files hold # SKIP python3 has no yaml (Debian: python3-yaml)", True)
        cluster(s)


main()
