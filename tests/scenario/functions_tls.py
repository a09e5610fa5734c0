#!/usr/bin/env python3
"""Functions over HTTPS: an endpoint is trusted by a certificate of the system's authorities or of --endpoint-ca; any other is not
spoken to, costs no message a receive, and is said why."""
import os
import ssl
import subprocess

from lib import scenario


def openssl(s, *words):
    done = subprocess.run(["openssl", *words], capture_output=True, text=True, check=False, cwd=s.directory)
    if done.returncode != 0:
        raise OSError(f"openssl {' '.join(words)}: {done.stderr}")


def authority(s, name):
    openssl(s, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
            f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE", "-keyout", f"{name}.key", "-out", f"{name}.pem")
    return s.path(f"{name}.pem")


def certificate(s, name, issuer, alternative, *more):
    """Of an endpoint, signed by the issuer: what a server needs to speak TLS."""
    with open(s.path(f"{name}.ext"), "w", encoding="utf-8") as file:
        file.write(f"subjectAltName={alternative}\n")
    openssl(s, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}",
            "-keyout", f"{name}.key", "-out", f"{name}.csr")
    openssl(s, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key", "-CAcreateserial",
            "-extfile", f"{name}.ext", "-out", f"{name}.pem", *(more or ("-days", "2")))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(s.path(f"{name}.pem"), s.path(f"{name}.key"))
    return context


def trusted(s, b, context):
    e = s.endpoint(lambda request: (200, "fine"), tls=context)
    b.hato("queue", "create", "trusted")
    b.hato("function", "create", "trusted", "--url", e.url)
    b.hato("bind", "trusted", "trusted")
    b.hato("send", "trusted", *[str(i) for i in range(30)])
    s.wait_for("all to be delivered", lambda: b.json("queue", "show", "trusted")["ready"] == 0 and len(e.requests) == 30)
    s.equal("an endpoint with a certificate of --endpoint-ca is spoken to", {r.headers["hato-receive-count"] for r in e.requests},
            {"1"})


def untrusted(s, b, name, context, why):
    e = s.endpoint(tls=context)
    b.hato("queue", "create", name, "--dead-letter", f"{name}-dead", "--max-receives", 2)
    b.hato("function", "create", name, "--url", e.url, "--retry-min", "10ms", "--retry-max", "20ms")
    b.hato("bind", name, name)
    b.hato("send", name, "secret")
    shown = s.wait_for("the breaker to open", lambda: [one for one in [b.json("function", "show", name)]
                                                       if one["state"] == "open" and len(one["attempts"]) > 4])[0]
    s.contains(f"{name}: function show says why", shown["last_error"], why)
    s.equal(f"{name}: nothing is sent, and no receive counted", (len(e.requests), b.json("queue", "show", f"{name}-dead")["ready"],
                                                                 shown["failed_total"]), (0, 0, 0))


def bad_files(s):
    for name, content in (("missing.pem", None), ("empty.pem", ""), ("key.pem", "-----BEGIN NONSENSE-----\n")):
        if content is not None:
            with open(s.path(name), "w", encoding="utf-8") as file:
                file.write(content)
        b = s.broker("--endpoint-ca", s.path(name), name=name[:-4], start=False)
        b.start(ready=False)
        s.equal(f"hatod does not start with {name} as --endpoint-ca", b.wait(), 2)
        s.contains("and says so", b.last_lines(), f"--endpoint-ca: {s.path(name)} can't be read")


with scenario() as scene:
    ca = authority(scene, "our-ca")
    authority(scene, "strange-ca")
    good = certificate(scene, "good", "our-ca", "IP:127.0.0.1")
    broker = scene.broker("--endpoint-ca", ca)
    trusted(scene, broker, good)
    untrusted(scene, broker, "stranger", certificate(scene, "stranger", "strange-ca", "IP:127.0.0.1"), "certificate")
    untrusted(scene, broker, "other-name", certificate(scene, "other-name", "our-ca", "DNS:elsewhere.example"), "127.0.0.1")
    untrusted(scene, broker, "expired", certificate(scene, "expired", "our-ca", "IP:127.0.0.1", "-days", "-1"), "expired")
    plain = scene.broker(name="without")
    untrusted(scene, plain, "unknown", good, "certificate")
    os.environ["HATO_ENDPOINT_CA"] = ca
    trusted(scene, scene.broker(name="by-environment"), good)
    del os.environ["HATO_ENDPOINT_CA"]
    bad_files(scene)
