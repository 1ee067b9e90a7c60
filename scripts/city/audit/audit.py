"""Checks what gateways recorded: audit.py -keys DIR [-captured] [-head STREAM-SEQ:LINK] FILE... (Python 3.9, openssl 3)
FILEs hold events, a JSON object a line; DIR holds public keys as GATEWAY.pem. -captured: as a broker delivered them, where order and
repetitions mean nothing. -head: an event that the chain must have. Exit status: 0 intact, 1 findings, 2 nothing could be checked."""
import argparse, base64, collections, contextlib, datetime, decimal, hashlib, heapq, json, math, pathlib, re, statistics, subprocess, sys, tempfile  # noqa: E401
TIMES = ("rev", "time", "time_quality", "time_error_ms", "time_min", "time_max")  # what a correction may change
MALFORMED = (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError)
events, claims, bridges, gaps, streams, readings = (collections.defaultdict(list) for _ in range(6))  # by place (stream, seq), gaps by stream
best, own, previous, ranks, keys, out = {}, {}, {}, {}, {}, set()  # by place: the line that counts; the link that its successor follows
def link(v): return v if isinstance(v, str) and re.fullmatch("[0-9a-f]{32}", v) else None
def instant(v): return v and datetime.datetime.fromisoformat(v.replace("Z", "+00:00")).timestamp() * 1000
def check(good, v, why="malformed"): return v if good else int(why)  # v, or a ValueError
def unique(members): return check(len(dict(members)) == len(members), dict(members))
def canonical(v):  # RFC 8785; numbers as ECMAScript prints them
    if isinstance(v, decimal.Decimal):
        d = decimal.Decimal(repr(float(v) + 0)).normalize()
        return check(d == v, format(d, "f" if not d or -7 < d.adjusted() < 21 else "e"))
    if isinstance(v, list): return "[" + ",".join(map(canonical, v)) + "]"
    if not isinstance(v, dict): return json.dumps(v, ensure_ascii=False, allow_nan=False)
    return "{" + ",".join(canonical(n) + ":" + canonical(v[n]) for n in sorted(v, key=lambda n: n.encode("utf-16-be"))) + "}"
class Event:
    def __init__(self, line, reading):  # an exception of MALFORMED: it is none, or says nothing of others
        self.f = f = json.loads(line.decode(), object_pairs_hook=unique, parse_int=decimal.Decimal, parse_float=decimal.Decimal)
        self.kind, self.link, self.rev, self.stream, self.seq = f.get("kind"), link(f.get("link")), f.get("rev", 0) + 0, f["stream"] + "", int(f["seq"])
        self.at = check(isinstance(f["id"], str) and 1 <= f["seq"] == self.seq <= 2**53 and canonical(f).encode(), (self.stream, self.seq))
        self.core = hashlib.sha256(canonical({n: v for n, v in f.items() if n not in TIMES + ("link",)}).encode()).digest()
        reading.append(self), events[self.at].append(self), streams[self.stream].append(self)
        if self.seq == 1:
            p = f.get("previous") or {"stream": "", "seq": 0}
            previous[self.stream] = p["stream"], int(p["seq"]), link(p.get("link", "0" * 32 if "link" in f else None))
            claims[p["stream"], p["seq"]].append((link(p.get("link")), self))
        for r in f.get("ranges", ()) if self.kind == "gap" else ():
            stream, first, last = r["stream"], int(r["from"]), math.inf if r["to"] is None else int(r["to"])
            gaps[stream].append((first, last)), bridges[stream, last + 1].append(link(r.get("link")))
            if link(r.get("before")): claims[stream, first - 1].append((r["before"], self))
    def follow(self, before): return hashlib.sha256(bytes.fromhex(before) + self.core).hexdigest()[:32] if before else None
    def links(self, before):  # its own link as stated (a seal states the one before it) and as computed
        return self.follow(self.link) if self.kind == "seal" else self.link, self.follow(before)
    def fits(self, before): return before is not None and len(set(self.links(before))) == 1
    def signed(self, gateway):  # whether the gateway has signed what this seal says
        key, sig = keys.get((gateway, str(self.f.get("key")))), str(self.f.get("sig"))
        if not key or self.f.get("upto") != self.seq - 1 or not re.fullmatch("[A-Za-z0-9+/]{85}[AQgw]==", sig): return False
        files = {"key": key, "sig": base64.b64decode(sig), "text": f"gatewayd seal v1\n{gateway}\n{self.stream}\n{self.seq - 1}\n{self.link}".encode()}
        with tempfile.TemporaryDirectory() as temp:
            for name in files: pathlib.Path(temp, name).write_bytes(files[name])
            told = subprocess.run("openssl pkeyutl -verify -pubin -keyform DER -rawin -inkey key -in text -sigfile sig".split(), cwd=temp, capture_output=True).stdout
            return check(b"Signature Verif" in told, b"Successfully" in told, "it takes openssl 3")
    def timely(self, anchors):  # ValueError unless one of the 16 of its boot's anchors that are nearest agrees with its time
        time = low = high = instant(self.f.get("time"))
        if self.f.get("time_quality") == "bounded": low, high = instant(self.f["time_min"]), instant(self.f["time_max"])
        def agrees(a):
            told, error = instant(a["time"]) + float(self.f["boot_ms"] - a["boot_ms"]), a["error_ms"] + self.f["time_error_ms"] * (low == high)
            return max(low - told, told - high) <= float(error) + abs(told - instant(a["time"])) * 250e-6 + 1000
        check(not time or not anchors or any(map(agrees, heapq.nsmallest(16, anchors, lambda a: abs(a["boot_ms"] - self.f["boot_ms"])))), time)
def find(kind, at, words, to=0):
    names = [x if re.fullmatch("[!-~]{1,64}", x) else json.dumps(x) for x in (ranks.get(at[0], "?")[0], at[0])]  # nothing for a terminal
    out.add((*ranks.get(at[0], "?0"), at[1], f"FINDING {' '.join(names)}-{at[1]}{f'-{to}' * (to > at[1])}: {kind}: {words}"))
def gone(stream, first, last):  # finds those of these numbers that no gap names
    for a, b in sorted(gaps[stream]) + [(last + 1, last)]:
        if first < a and first <= last: find("missing", (stream, first), "no gap names it", min(a - 1, last))
        first = max(first, b + 1)
def trail(s, numbers, names=()):  # a stream comes behind the one that it names
    while s in numbers and s not in names: names, s = (s, *names), previous.get(s, ("",))[0]
    return names
def walk(gateway, numbers):  # of each of its streams
    order, unsealed, anchors, followed = sorted(numbers, key=lambda s: trail(s, numbers)), {}, {}, set()
    for n, s in enumerate(order):
        other, k, before = previous.get(s, ("", 0, "0" * 32))
        ranks.update({other: ranks.get(other, (gateway, n - 0.5)), s: (gateway, n)})
        if n or other in numbers: gone(other, max(numbers.get(other, [0])) + 1, k)
        if (s, 1) in events and ((other, k) in followed or (other, k + 1) in events): find("forked", (s, 1), "not the only successor")
        followed, new, expected = followed | {(other, k), ("", 0)}, numbers[s][0], 1 if n else numbers[s][0]  # new: behind the last seal
        for q in numbers[s]:
            at, expected = (s, q), gone(s, expected, q - 1) or q + 1
            behind = [before] if q == 1 else [own[s, q - 1]] if (s, q - 1) in own else bridges[at] or [None]
            def proven(x): return bool(x) and (x in [y for y, _ in claims[at]] or any(v.fits(x) for v in events.get((s, q + 1), ())))
            options = [(v.fits(b), proven(x), bool(x), v.rev, v, b, x) for v in events[at] for b in behind for x in v.links(b)]
            v, before, own[at] = max(options, key=lambda o: o[:4])[-3:]
            best[at], v.holds, last = v, v.fits(before), best.get((s, q - 1), v)
            good = v.kind == "seal" and (v.holds or not before) and v.signed(gateway)
            differ = {n for w in events[at] if w.kind != "erased" for n in {**v.f, **w.f} if n not in TIMES or v.rev == w.rev if v.f.get(n) != w.f.get(n)}
            if differ or (v.holds or not before) and (v.f["id"], v.f.get("gateway")) != (f"{s}-{q}", gateway): find("altered", at, f"{differ or 'id'}")
            if v.kind == "erased": gone(s, q, q)
            elif good: unsealed, new = {}, expected
            elif v.kind == "seal": find("seal", (s, new), "no known key has signed this", q)
            elif before and not v.holds: find("altered", (s, q - (own[at] == v.link and last.kind in ("seal", "erased"))), "not what it was", q)
            if "link" in v.f and not before and not good and v.kind != "erased": find("unproven", at, "its predecessor is not known")
            if v.f.get("reason") in ("journal-rolled-back", "journal-forked"): find(v.f["reason"][8:], at, "this gap says so")
            if "link" in v.f and not good: unsealed.setdefault(s, []).append(q)
            if good and v.f.get("anchors") and (proven(own[at]) or str(v.f.get("boot")) not in anchors and (s, q) == (order[-1], numbers[s][-1])):
                anchors.setdefault(str(v.f.get("boot")), []).extend(v.f["anchors"] if isinstance(v.f["anchors"], list) else [0])  # the next event proves them
    for s in order: print("sealed", json.dumps(f"{gateway} {s}")[1:-1], f"{numbers[s][0]}-{unsealed.get(s, [numbers[s][-1] + 1])[0] - 1}")
    for s, tail in unsealed.items(): find("unsealed", (s, tail[0]), "no seal covers it", tail[-1])
    if not any(best[s, q].link for s in order for q in numbers[s]): find("unproven", (order[0], numbers[order[0]][0]), "no event has a link")
    for v in [best[s, q] for s in order for q in numbers[s] if best[s, q].holds or not best[s, q].link]:
        try: v.timely(anchors.get(str(v.f.get("boot"))))
        except MALFORMED: find("time", v.at, "no anchor of its boot agrees with its time")
sys.excepthook = lambda *e: sys.exit(print("audit:", e[1], file=sys.stderr) or 2)
parser, gateways, prefix = argparse.ArgumentParser(usage=__doc__, allow_abbrev=False), collections.defaultdict(dict), bytes.fromhex("302a300506032b6570032100")
parser.add_argument("-head", type=lambda s: [re.fullmatch(r"(.+)-(\d+):([0-9a-f]{32})", s)[n] for n in (1, 2, 3)])
parser.add_argument("-keys", required=True), parser.add_argument("-captured", action="store_true"), parser.add_argument("files", nargs="+")
args = parser.parse_args()
for file, pem in [(f, pem) for f in pathlib.Path(args.keys).resolve(True).glob("*.pem") for pem in re.findall("-----BEGIN.*?-----(.*?)-----END", f.read_text(), re.S)]:
    raw = base64.b64decode(pem).partition(prefix)[2][:32]  # of a public key, or of a certificate
    keys[file.stem, hashlib.sha256(raw).hexdigest()[:16]] = prefix + raw
for n, file in enumerate(args.files):
    for line in sys.stdin.buffer if file == "-" else open(file, "rb"):
        with contextlib.suppress(*MALFORMED): Event(line, readings[n])
for s, there in check(events, streams, "there is no event in it").items(): gateways[statistics.mode(str(v.f.get("gateway")) for v in there)][s] = sorted({v.seq for v in there})
if args.head: claims[args.head[0], int(args.head[1])].append((args.head[2], None))
for gateway in sorted(gateways): walk(gateway, gateways[gateway])
for at, (x, v) in [(at, told) for at in claims for told in claims[at] if not told[1] or best[told[1].at] is told[1] and told[1].holds]:
    if v is None and at not in own and x not in bridges[at[0], at[1] + 1]: find("missing", at, "the chain does not reach it")
    fork = at in own and (not v or v.seq == 1) and best[at].kind not in ("seal", "erased")  # else nothing but this holds what is there
    if at in own and x not in (own[at], best[at].link): find("forked" if fork else "altered", v.at if fork and v else at, "another link")
for reading in [] if args.captured else readings.values():
    places, revs = sorted(dict.fromkeys(v.at for v in reading), key=lambda at: ranks[at[0]][0]), collections.defaultdict(list)
    for b in [b for a, b in zip(places, places[1:]) if (ranks[b[0]], b[1]) < (ranks[a[0]], a[1])]: find("disorder", b, "behind a later one")
    for v in reading: revs[v.at, v.core, v.link].append(v.rev)  # which rise if the same event comes again
    for at in [key[0] for key in revs if sorted({*revs[key]}) != revs[key]]: find("duplicate", at, "it stands there more than once")
sys.exit(print(*(line[3] for line in sorted(out)), f"audit: {len(out)} findings" if out else "audit: intact", sep="\n") or bool(out))
