#!/usr/bin/env python3
"""Makes vectors.jsonl and keys/dinkes-01.pem: a chain with an event of each kind, computed
with hashlib and openssl from what the contract says, and from no code of this project."""
import base64, hashlib, json, subprocess, tempfile

SEED = bytes(range(32))
KEY = bytes.fromhex("302e020100300506032b657004220420") + SEED  # PKCS #8
MUTABLE = {"link", "rev", "time", "time_quality", "time_error_ms", "time_min", "time_max"}
A, B = "01964c1e-0000-7000-8000-00000000000a", "01964c1f-0000-7000-8000-00000000000b"


def openssl(*args, given=None):
    return subprocess.run(["openssl", *args], input=given, check=True, capture_output=True).stdout


def canonical(event):
    core = {k: v for k, v in event.items() if k not in MUTABLE}
    text = json.dumps(core, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.replace("1e-07", "1e-7").encode()  # RFC 8785 writes numbers as ECMAScript does


def follow(link, event):
    return hashlib.sha256(link + hashlib.sha256(canonical(event)).digest()).digest()[:16]


with tempfile.NamedTemporaryFile() as key:
    key.write(KEY)
    key.flush()
    PUBLIC = openssl("pkey", "-inform", "DER", "-in", key.name, "-pubout", "-outform", "DER")[-32:]
    with open("keys/dinkes-01.pem", "wb") as f:
        f.write(openssl("pkey", "-inform", "DER", "-in", key.name, "-pubout"))

    def sign(text):
        with tempfile.NamedTemporaryFile() as t:
            t.write(text)
            t.flush()
            return openssl("pkeyutl", "-sign", "-rawin", "-inkey", key.name, "-keyform", "DER", "-in", t.name)

    lines, link, seq, stream, clock = [], bytes(16), 0, A, 1000

    def add(kind, **body):
        global link, seq, clock
        seq, clock = seq + 1, clock + 2500
        event = {"v": 1, "id": f"{stream}-{seq}", "gateway": "dinkes-01", "dinas": "dinkes", "stream": stream, "seq": seq,
                 "rev": 0, "kind": kind, "boot": "7e57b007-0000-4000-8000-000000000001", "boot_ms": clock,
                 "time": f"2026-11-23T07:00:{clock // 1000:02d}.{clock % 1000:03d}+07:00", "time_quality": "synced", "time_error_ms": 1.5}
        if kind == "seal":
            text = "\n".join(["gatewayd seal v1", "dinkes-01", stream, str(seq - 1), link.hex()])
            event |= {"upto": seq - 1, "link": link.hex(), "anchors": body["anchors"],
                      "key": hashlib.sha256(PUBLIC).hexdigest()[:16], "sig": base64.b64encode(sign(text.encode())).decode()}
            link = follow(link, event)
        else:
            event |= body
            link = follow(link, event)
            event["link"] = link.hex()
        lines.append(json.dumps(event, ensure_ascii=False))

    anchors = [{"boot_ms": 1000, "time": "2026-11-23T07:00:01.000+07:00", "error_ms": 1.5, "source": "ntp"}]
    add("start", previous=None, version="v1")
    add("badge", reader="door", badge="h:00112233445566778899aabbccddeeff", card="mifare-classic-1k", assurance="uid",
        tag_check={"tag": "reyax:50", "state": "far", "distance_m": 31.5, "age_s": 42})
    add("tag", receiver="yard", tag="waypoint:POS\u20ac\U0001f600\u00f6", lat=-7.9778, lon=112.634, accuracy_m=None, fix_time=None,
        fix="live", zone="inside", rssi=-97, snr=1e-7)
    add("presence", badge="h:00112233445566778899aabbccddeeff", tag="reyax:50", state="on_site", distance_m=0, events=[f"{A}-2", f"{A}-3"])
    add("seal", anchors=anchors)
    add("badge", reader="door", badge="04A1B2C3D4E5F6", card="iso14443-4", assurance="authenticated-piv",
        proof={"random": "00" * 16, "signature": "MAYCAQECAQI=", "certificate": "ce" * 32})
    last, stream, seq = {"stream": stream, "seq": seq, "clean": False, "link": link.hex()}, B, 0
    add("start", previous=last, version="v1")
    before = link
    seq, link = 4, bytes(range(16))  # 2 to 4 were removed when somebody asked for it
    add("tag", receiver="yard", tag="mesh:1c2f13fc", lat=None, lon=None, accuracy_m=None, fix_time=None, fix="unknown", zone=None, rssi=None, snr=None)
    add("gap", reason="forgotten", kinds={"badge": 3}, first=None, last=None,
        ranges=[{"stream": B, "from": 2, "to": 4, "before": before.hex(), "link": bytes(range(16)).hex()}])
    add("seal", anchors=[])
    with open("vectors.jsonl", "w") as f:
        f.write("\n".join(lines) + "\n")
