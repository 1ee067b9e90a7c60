#!/usr/bin/env python3
"""Checks what gateways recorded: audit.py -keys DIR [-captured] [-head STREAM-SEQ:LINK] FILE...
FILEs hold events, a JSON object a line; DIR holds public keys as GATEWAY.pem. -captured: as a broker delivered them,
where order and repetitions mean nothing. -head: an event that the chain is known to have. It takes Python 3.9 and
openssl 3. Exit status: 0 intact, 1 findings, 2 nothing could be checked."""
import argparse, base64, collections, datetime, decimal, hashlib, itertools, json, math  # noqa: E401
import pathlib, re, statistics, subprocess, sys, tempfile  # noqa: E401
TIMES = ("rev", "time", "time_quality", "time_error_ms", "time_min", "time_max")  # what a correction may change
MALFORMED = (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError)
ED25519 = bytes.fromhex("302a300506032b6570032100")  # what is in front of such a key in a certificate
# By place (stream, seq): events said to be there; links that others tell of it; links of what a gap names before it.
# By stream: ranges that gaps name. By place again: the event that counts, and the link that its successor follows.
events, claims, bridges, gaps = (collections.defaultdict(list) for _ in range(4))
best, own, previous, ranks, keys, out = {}, {}, {}, {}, {}, set()

def sha(data): return hashlib.sha256(data).digest()
def link(v): return v if isinstance(v, str) and re.fullmatch("[0-9a-f]{32}", v) else None
def check(good, v): return v if good else int("malformed")  # v, or a ValueError
def unique(members): return check(len(dict(members)) == len(members), dict(members))
def instant(v): return v and datetime.datetime.fromisoformat(v.replace("Z", "+00:00")).timestamp() * 1000
def canonical(v):  # RFC 8785; numbers as ECMAScript prints them
    if isinstance(v, decimal.Decimal):
        d = check(v == decimal.Decimal(repr(float(v))), decimal.Decimal(repr(float(v) + 0)).normalize())
        return format(d, "f" if not d or -7 < d.adjusted() < 21 else "e")
    if isinstance(v, list): return "[" + ",".join(map(canonical, v)) + "]"
    if not isinstance(v, dict): return json.dumps(v, ensure_ascii=False, allow_nan=False)
    return "{" + ",".join(canonical(n) + ":" + canonical(v[n]) for n in sorted(v, key=lambda n: n.encode("utf-16-be"))) + "}"

class Event:
    def __init__(self, line):  # an exception of MALFORMED: it is none
        f = json.loads(line.decode(), object_pairs_hook=unique, parse_int=decimal.Decimal, parse_float=decimal.Decimal)
        self.core = sha(canonical({n: v for n, v in f.items() if n not in TIMES + ("link",)}).encode())
        self.stream, self.seq = self.at = (f["stream"] + "", int(f["seq"]))
        self.f, self.kind, self.link, self.rev = f, f.get("kind"), link(f.get("link")), f.get("rev", 0) + 0
        self.holds = check(isinstance(f["id"], str) and 1 <= f["seq"] == self.seq <= 2**53 and canonical(f).encode(), False)
    def links(self, before):  # its own link as stated (a seal states the one before it) and as computed
        def follow(other): return sha(bytes.fromhex(other) + self.core)[:16].hex() if other else None
        return follow(self.link) if self.kind == "seal" else self.link, follow(before)
    def fits(self, before): return before is not None and len(set(self.links(before))) == 1
    def listen(self):  # what it says of others
        if self.seq == 1:
            p = self.f.get("previous") or {"stream": "", "seq": 0}
            previous[self.stream] = p["stream"], int(p["seq"]), link(p.get("link", "0" * 32))
            claims[p["stream"], p["seq"]].append((link(p.get("link")), self))
        for r in self.f.get("ranges", ()) if self.kind == "gap" else ():
            stream, first, last = r["stream"], int(r["from"]), math.inf if r["to"] is None else int(r["to"])
            gaps[stream].append((first, last)), bridges[stream, last + 1].append(link(r.get("link")))
            if link(r.get("before")): claims[stream, first - 1].append((r["before"], self))
    def timely(self, anchors):  # ValueError unless one of its boot's anchors agrees with its time
        time, low, high = [instant(self.f.get(n)) for n in ("time", "time_min", "time_max")]
        if self.f.get("time_quality") != "bounded": low = high = time
        def beyond(a):  # by how many ms the anchor says something else
            told, error = instant(a["time"]) + float(self.f["boot_ms"] - a["boot_ms"]), a["error_ms"] + self.f["time_error_ms"] * (low == high)
            return max(low - told, told - high) - float(error) - abs(float(self.f["boot_ms"] - a["boot_ms"])) * 250e-6
        check(not time or not anchors or min(map(beyond, anchors)) < 1000, time)

def find(kind, at, words, to=0):
    (gateway, n), ends = ranks.get(at[0], ("?", 0)), f"-{to}" if to > at[1] else ""
    names = [x if re.fullmatch("[!-~]{1,64}", x) else json.dumps(x) for x in (gateway, at[0])]  # nothing for a terminal
    out.add((gateway, n, at[1], f"FINDING {names[0]} {names[1]}-{at[1]}{ends}: {kind}: {words}"))
def gone(stream, first, last):  # finds those of these numbers that no gap names
    for a, b in sorted(gaps[stream]) + [(last + 1, last)]:
        if first < a and first <= last: find("missing", (stream, first), "no gap names it", min(a - 1, last))
        first = max(first, b + 1)
def signed(v, gateway):  # whether the gateway has signed what a seal says
    key, sig = keys.get((gateway, str(v.f.get("key")))), str(v.f.get("sig"))
    if not key or v.f.get("upto") != v.seq - 1 or not re.fullmatch("[A-Za-z0-9+/]{85}[AQgw]==", sig): return False
    text = f"gatewayd seal v1\n{gateway}\n{v.stream}\n{v.seq - 1}\n{v.link}".encode()
    with tempfile.TemporaryDirectory() as temp:
        for name, data in ("key", key), ("text", text), ("sig", base64.b64decode(sig)): pathlib.Path(temp, name).write_bytes(data)
        command = "openssl pkeyutl -verify -pubin -keyform DER -inkey key -rawin -in text -sigfile sig"
        return subprocess.run(command.split(), cwd=temp, capture_output=True).returncode == 0
def trail(s, streams, names=()):  # a stream comes behind the one that it names
    while s in streams and s not in names: names, s = (s, *names), previous.get(s, ("",))[0]
    return names

def walk(gateway, streams):  # checks the numbers of each stream
    order, linked, unsealed, anchors, followed = sorted(streams, key=lambda s: trail(s, streams)), False, {}, {}, set()
    ranks.update((s, (gateway, n)) for n, s in enumerate(order))
    for n, s in enumerate(order):
        other, k, before = previous.get(s, ("", 0, "0" * 32))
        ranks.setdefault(other, (gateway, n - 0.5))
        if n or other in streams: gone(other, max(streams.get(other, [0])) + 1, k)
        if (s, 1) in events and ((other, k) in followed or (other, k + 1) in events): find("forked", (s, 1), "not the only successor")
        followed |= {(other, k), ("", 0)}
        linked = linked or any("link" in v.f for q in streams[s] for v in events[s, q])
        expected = new = 1 if n else streams[s][0]  # new: behind the last seal
        for q in streams[s]:
            at, expected = (s, q), gone(s, expected, q - 1) or q + 1
            behind = [before] if q == 1 else [own[s, q - 1]] if (s, q - 1) in own else bridges[at] or [None]
            def proven(x): return bool(x) and (x in [y for y, _ in claims[at]] or any(v.fits(x) for v in events.get((s, q + 1), ())))
            v, before, own[at] = max(((v, b, x) for v in events[at] for b in behind for x in v.links(b)),
                                     key=lambda o: (o[0].fits(o[1]), proven(o[2]), bool(o[2]), o[0].rev))
            best[at], v.holds, last = v, v.fits(before), best.get((s, q - 1), v)
            good = v.kind == "seal" and (v.holds or not before) and signed(v, gateway)
            copies = [w for w in events[at] if w.kind != "erased"]
            names = {n for w in copies for n in {**v.f, **w.f} if v.f.get(n) != w.f.get(n) and (n not in TIMES or v.rev == w.rev)}
            if names: find("altered", at, "copies of it differ in " + ", ".join(sorted(names)))
            elif v.holds and (v.f["id"], str(v.f.get("gateway"))) != (f"{s}-{q}", gateway): find("altered", at, "its id or gateway is another's")
            if v.kind == "erased": gone(s, q, q)
            elif good: unsealed, new = {}, expected
            elif v.kind == "seal": find("seal", (s, new), "no known key has signed this", q)
            if "link" in v.f and not before and not good and v.kind != "erased": find("unproven", at, "its predecessor is not known")
            elif not v.holds and v.kind not in ("seal", "erased") and (linked or claims[at]):
                find("altered", (s, q - (own[at] == v.link and last.kind in ("seal", "erased"))), "not what it was", q)
            if v.f.get("reason") in ("journal-rolled-back", "journal-forked"): find(v.f["reason"][8:], at, "this gap says so")
            if "link" in v.f and not good: unsealed.setdefault(s, []).append(q)
            boot, told = str(v.f.get("boot")), v.f.get("anchors") if good else None  # which count if the next event proves them
            if told and proven(own[at]): anchors[boot] = anchors.get(boot, []) + told
    if told: anchors.setdefault(boot, told)
    for s in order: print(f"sealed {gateway} {s} {streams[s][0]}-{unsealed.get(s, [streams[s][-1] + 1])[0] - 1}")
    for s, tail in unsealed.items(): find("unsealed", (s, tail[0]), "no seal covers it", tail[-1])
    if not linked: find("unproven", (order[0], streams[order[0]][0]), "no event has a link")
    for v in [v for v in best.values() if v.stream in streams and (v.holds or not v.link)]:
        try: v.timely(anchors.get(str(v.f.get("boot"))))
        except MALFORMED: find("time", v.at, "no anchor of its boot agrees with its time")

parser, gateways = argparse.ArgumentParser(usage=__doc__, allow_abbrev=False), collections.defaultdict(dict)
parser.add_argument("-keys", required=True), parser.add_argument("-captured", action="store_true")
parser.add_argument("-head", type=lambda s: [re.fullmatch(r"(.+)-(\d+):([0-9a-f]{32})", s)[n] for n in (1, 2, 3)])
parser.add_argument("files", nargs="+")
args, readings = parser.parse_args(), []
try:
    pems = {file.stem: file.read_text() for file in pathlib.Path(args.keys).iterdir() if file.suffix == ".pem"}
    texts = [sys.stdin.buffer.readlines() if file == "-" else open(file, "rb").readlines() for file in args.files]
except (OSError, ValueError) as e: parser.error(e)
for gateway, pem in pems.items():  # Ed25519 public keys, or certificates of such
    for raw in [base64.b64decode(s).partition(ED25519)[2][:32] for s in re.findall("-----BEGIN.*?-----(.*?)-----END", pem, re.S)]:
        keys[gateway, sha(raw)[:8].hex()] = ED25519 + raw
for text in texts:
    readings.append([])
    for line in text:
        try: readings[-1].append(Event(line))
        except MALFORMED: pass
for v in itertools.chain(*readings):
    events[v.at].append(v)
    try: v.listen()
    except MALFORMED: pass  # it will not fit
for s, places in itertools.groupby(sorted(events), key=lambda at: at[0]):
    numbers = [q for _, q in places]
    gateways[statistics.mode(str(v.f.get("gateway")) for q in numbers for v in events[s, q])][s] = numbers
if args.head: claims[args.head[0], int(args.head[1])].append((args.head[2], None))
for gateway in sorted(gateways): walk(gateway, gateways[gateway])
for at, (x, v) in [(at, told) for at in claims for told in claims[at]]:
    if v is None and at not in own and x not in bridges[at[0], at[1] + 1]: find("missing", at, "the chain does not reach it")
    if at not in own or x in (own[at], best[at].link) or v and not (v.holds and best[v.at] is v): continue
    if best[at].kind == "seal" or v and v.kind == "gap": find("altered", at, "its successor names another link")
    else: find("forked", v.at if v else at, f"it names another link of {at[0]}-{at[1]}")
for reading in [] if args.captured else readings:
    places, seen = sorted(dict.fromkeys(v.at for v in reading), key=lambda at: ranks[at[0]][0]), {}
    for a, b in zip(places, places[1:]):
        if (ranks[b[0]], b[1]) < (ranks[a[0]], a[1]): find("disorder", b, "it stands behind a later one")
    for v in reading:
        if seen.get((v.at, v.core, v.link), -1) >= v.rev: find("duplicate", v.at, "it stands there more than once")
        seen[v.at, v.core, v.link] = max(v.rev, seen.get((v.at, v.core, v.link), -1))
for line in sorted(out): print(line[3])
print(f"audit: {len(out)} findings" if out else "audit: intact")
sys.exit(bool(out) if events else 2)
