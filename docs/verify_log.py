#!/usr/bin/env python3
"""Verifies an exported log without any code of the engine that wrote it.

    verify_log.py LOG.jsonl        (or - for standard input)

LOG.jsonl is a raw export: per event a line of JSON with its header, descriptor, salt and body
in hexadecimal digits. Written from docs/log-format.md alone. Needs Python 3.9 and the package
`blake3`. Exit code 0: intact; its end is printed. 3: not. 2: it could not be read.
"""
import hashlib, json, struct, sys
from blake3 import blake3

CHAIN = "vsm-store v1 chain hash of an event header"
DESCRIPTOR = "vsm-store v1 digest of an event descriptor"
BODY = "vsm-store v1 commitment to a salted body"
EVENT, GENESIS, RESUMED, REDACTED, PRUNED = range(5)
LAST_OF_GROUP, HAS_BODY, ZERO = 1, 2, bytes(32)


class Bad(Exception):
    """What is wrong."""


def need(good, what):
    if not good:
        raise Bad(what)


def digest(context, data):
    return blake3(data, derive_key_context=context).digest()


# The tree of RFC 6962, kept as its frontier: the complete subtrees, largest first.

def leaf(chain_hash):
    return hashlib.sha256(b"\0" + chain_hash).digest()


def node(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def grow(frontier, size, hash):
    while size & 1:
        hash, size = node(frontier.pop(), hash), size >> 1
    frontier.append(hash)


def root(frontier):
    hash = frontier[-1] if frontier else hashlib.sha256(b"").digest()
    for left in reversed(frontier[:-1]):
        hash = node(left, hash)
    return hash


class Log:
    """A log up to some event."""

    def __init__(self):
        self.next, self.hash, self.time, self.frontier = 0, ZERO, 0, []
        self.incarnation, self.versions, self.group_open = 0, {}, False
        self.removed, self.redacted, self.pruned = {}, {}, {}
        self.boundary, self.hashes = None, {}

    def start_at(self, boundary):
        """A log whose first volumes were dropped starts here; a later record must say so."""
        need(self.next == 0, "a boundary stands behind an event")
        self.next, self.time, self.incarnation = (boundary[name] for name in ("seq", "time", "incarnation"))
        self.hash = bytes.fromhex(boundary["chain_hash"])
        self.frontier = [bytes.fromhex(hash) for hash in boundary["frontier"]]
        need(len(self.frontier) == bin(self.next).count("1"), "the frontier does not fit the boundary")
        self.boundary, self.hashes = (self.next, root(self.frontier)), {self.next: self.hash}

    def event(self, raw):
        """Checks an event against the log so far and takes it in."""
        header, descriptor, salt, body = (
            bytes.fromhex(raw[name] or "") for name in ("header", "descriptor", "salt", "body"))
        need(len(header) == 128, "the header is not 128 bytes long")
        version, kind, flags, body_len, seq, time, stream_version = struct.unpack_from("<BBHIQQQ", header)
        need(version == 1 and kind <= PRUNED and flags <= 3, "the header is of an unknown form")
        need(seq == self.next, f"the header says sequence {seq}")
        need(header[96:] == self.hash, "it does not follow the event before")
        need(time >= self.time, "time goes backwards")
        need(header[32:64] == digest(DESCRIPTOR, descriptor), "the descriptor is not the header's")
        self.hash, commitment = digest(CHAIN, header), header[64:96]
        need((body_len > 0) == bool(flags & HAS_BODY), "the body's length does not fit the flags")
        if salt or body:
            need(len(salt) == 16 and len(body) == body_len, "the body is not as long as the header says")
            need(commitment == digest(BODY, salt + body), "the body is not the one committed to")
        elif flags & HAS_BODY:
            self.removed[seq] = self.hash + commitment
        else:
            need(commitment == ZERO, "there is a commitment to no body")
        need(len(descriptor) >= 4 + sum(descriptor[:3]) and descriptor[3] == 0, "the descriptor is cut short")
        stream_len, kind_len, key_len = descriptor[:3]
        stream, meta = descriptor[4 : 4 + stream_len], descriptor[4 + stream_len + kind_len + key_len :]
        need((kind == GENESIS) == (seq == 0), "genesis is not the first record")
        if kind == EVENT:
            before = self.versions.get(stream, stream_version - 1 if self.boundary else 0)
            need(stream and kind_len and 1 <= stream_version == before + 1, "the stream's version does not follow")
            self.versions[stream] = stream_version
        else:
            need(not any(descriptor[:3]) and stream_version == 0, "a record of the log's own is in a stream")
            self.internal(kind, seq, meta)
        self.next, self.time, self.group_open = seq + 1, time, not flags & LAST_OF_GROUP
        grow(self.frontier, seq, leaf(self.hash))
        if self.boundary:
            self.hashes[self.next] = self.hash

    def internal(self, kind, seq, meta):
        """Takes in a record of the log's own."""
        length = {GENESIS: 104, RESUMED: 56, REDACTED: 144, PRUNED: 152}[kind]
        form, second = struct.unpack_from("<II", meta)
        need(form == 1 and len(meta) == length + (second if kind >= REDACTED else 0), "it is of an unknown form")
        if kind == GENESIS:
            self.incarnation = struct.unpack_from("<I", meta, 24)[0]
        elif kind == RESUMED:
            need(second > self.incarnation, "the incarnation does not rise")
            self.incarnation = second
        else:
            about = struct.unpack_from("<Q", meta, 8)[0]
            need(about <= seq, "it is about an event that comes later")
            (self.redacted if kind == REDACTED else self.pruned)[about] = meta

    def end(self):
        """Checks what only the whole log can tell."""
        need(self.next > 0, "there is no event")
        need(not self.group_open, "the last group does not end")
        for seq, said in self.removed.items():
            need(self.redacted.get(seq, b"")[16:80] == said, f"no record says why {seq} has no body")
        if self.boundary:
            fits = {seq: meta for seq, meta in self.pruned.items() if self.hashes.get(seq) == meta[24:56]}
            first, before = self.boundary
            need(fits, f"no record says why nothing is before {first}")
            need(first not in fits or fits[first][56:88] == before, "the tree before the boundary is another")


def verify(lines):
    """Checks an export's lines; returns the log."""
    log = Log()
    for line in map(json.loads, lines):
        try:
            log.start_at(line["boundary"]) if "boundary" in line else log.event(line.get("raw", line))
        except Bad as bad:
            raise Bad(f"corrupt at sequence {log.next}: {bad}") from None
    log.end()
    return log


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("--"):
        sys.exit(__doc__)
    try:
        with sys.stdin if sys.argv[1] == "-" else open(sys.argv[1], encoding="utf-8") as lines:
            log = verify(lines)
        print(f"intact: ends with {log.next - 1}, chain hash {log.hash.hex()}, tree root {root(log.frontier).hex()}")
    except Bad as bad:
        print(bad, file=sys.stderr)
        sys.exit(3)
    except (OSError, ValueError, KeyError, TypeError, IndexError, struct.error) as error:
        print(f"can't be read: {error!r}", file=sys.stderr)
        sys.exit(2)
