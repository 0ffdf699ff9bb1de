#!/usr/bin/env python3
"""Verifies checkpoints and proofs of a log, without any code of the engine.

    verify_proof.py --key VKEY CHECKPOINT             the key's holder has stated this root
    verify_proof.py --key VKEY PROOF                  the event is in that log
    verify_proof.py --key VKEY PROOF --old CHECKPOINT the log has only grown since

Written from docs/proofs.md alone, beside verify_log.py. Needs Python 3.9 and `blake3`.
Exit code 0: it holds. 3: it does not. 2: it could not be read.
"""
import argparse, base64, hashlib, sys

from verify_log import CHAIN, Bad, digest, leaf, need, node


def included(index, size, hash, path):
    """The root that an inclusion proof leads to (RFC 9162, 2.1.3.2)."""
    need(index < size, "the index is not in the tree")
    last = size - 1
    for sibling in path:
        need(last > 0, "the proof is too long")
        if index & 1 or index == last:
            hash = node(sibling, hash)
            while index and not index & 1:
                index, last = index >> 1, last >> 1
        else:
            hash = node(hash, sibling)
        index, last = index >> 1, last >> 1
    need(last == 0, "the proof is too short")
    return hash


def consistent(old, new, old_root, path):
    """The old and the new root that a consistency proof leads to (RFC 9162, 2.1.4.2)."""
    need(0 < old <= new, "the sizes are out of order")
    if old == new:
        need(not path, "the proof is too long")
        return old_root, old_root
    path = [old_root] + path if old & (old - 1) == 0 else path
    need(path, "the proof is too short")
    first, last = old - 1, new - 1
    while first & 1:
        first, last = first >> 1, last >> 1
    before = after = path[0]
    for sibling in path[1:]:
        need(last > 0, "the proof is too long")
        if first & 1 or first == last:
            before, after = node(sibling, before), node(sibling, after)
            while first and not first & 1:
                first, last = first >> 1, last >> 1
        else:
            after = node(after, sibling)
        first, last = first >> 1, last >> 1
    need(last == 0, "the proof is too short")
    return before, after


# --- signed notes: Ed25519 (RFC 8032, 5.1) and the key's name

P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def add(a, b):
    x, y = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    t, z = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = y - x, z - t, z + t, y + x
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(n, point):
    sum = (0, 1, 1, 0)
    while n:
        sum, point, n = add(sum, point) if n & 1 else sum, add(point, point), n >> 1
    return sum


def point(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    need(y < P, "a point is not canonical")
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x if (x * x - square) % P == 0 else x * pow(2, (P - 1) // 4, P) % P
    need((x * x - square) % P == 0 and not (x == 0 and sign), "a point is not on the curve")
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


def signed(key, text, signature):
    base = point(bytes.fromhex("58" + "66" * 31))
    a, r, s = point(key), point(signature[:32]), int.from_bytes(signature[32:], "little")
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + text).digest(), "little") % L
    left, right = times(s, base), add(r, times(k, a))
    return s < L and all((left[i] * right[2] - right[i] * left[2]) % P == 0 for i in (0, 1))


def unbase64(text):
    data = base64.b64decode(text, validate=True)
    need(base64.b64encode(data).decode() == text, "base64 is not canonical")
    return data


def checkpoint(text, vkey, origin=None):
    """Size, root and chain hash of a checkpoint that the key has signed."""
    name, key_id, key = vkey.split("+", 2)
    key, body = unbase64(key), text[: text.rindex("\n\n") + 1]
    own = hashlib.sha256(name.encode() + b"\n" + key).digest()[:4]
    need(len(key) == 33 and key[0] == 1 and own.hex() == key_id, "this is no Ed25519 key")
    good = False
    for line in text[len(body) + 1 :].splitlines():
        dash, who, data = line.split(" ")
        data = unbase64(data)
        if (dash, who, data[:4]) == ("\u2014", name, own):
            need(len(data) == 68 and signed(key[1:], body.encode(), data[4:]), "the signature is wrong")
            good = True
    need(good, "the key has not signed this")
    lines = body.splitlines()
    need(lines[0] == (origin or name) and str(int(lines[1])) == lines[1], "this is no checkpoint of that log")
    chain = [unbase64(line[6:]) for line in lines[3:] if line.startswith("chain ")]
    return int(lines[1]), unbase64(lines[2]), chain[0] if chain else None


def event(text, vkey, origin=None):
    """Index and header of the event that a proof is about, and the size of its log."""
    head, note = text.split("\n\n", 1)
    first, extra, index, *path = head.split("\n")
    need(first == "c2sp.org/tlog-proof@v1" and extra[:6] == "extra " and index[:6] == "index ", "this is no event proof")
    header, index = unbase64(extra[6:]), int(index[6:])
    size, root, _ = checkpoint(note, vkey, origin)
    need(len(header) == 128 and int.from_bytes(header[8:16], "little") == index, "the header is another event's")
    got = included(index, size, leaf(digest(CHAIN, header)), [unbase64(hash) for hash in path])
    need(got == root, "the event is not in the tree")
    return index, header, size


def growth(text, old_text, vkey, origin=None):
    """The sizes between which a log has only grown."""
    head, note = text.split("\n\n", 1)
    old, *path = head.split("\n")
    old_size, old_root, _ = checkpoint(old_text, vkey, origin)
    size, root, _ = checkpoint(note, vkey, origin)
    need(old == f"old {old_size}", "the proof starts at another size")
    got = consistent(old_size, size, old_root, [unbase64(hash) for hash in path])
    need(got == (old_root, root), "the log was rewritten")
    return old_size, size


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("file", help="a checkpoint, an event proof, or with --old a consistency proof")
    parser.add_argument("--key", required=True, help="the verifier key, as you pinned it: name+id+base64")
    parser.add_argument("--origin", help="the log's name, if it is not the key's")
    parser.add_argument("--old", metavar="CHECKPOINT", help="the older checkpoint")
    args = parser.parse_args()
    read = lambda path: open(path, encoding="utf-8", newline="").read()
    try:
        text = read(args.file)
        if args.old:
            print("the log of {} leaves is the start of that of {}".format(*growth(text, read(args.old), args.key, args.origin)))
        elif text.startswith("c2sp.org/tlog-proof"):
            index, header, size = event(text, args.key, args.origin)
            print(f"event {index} is in the log of {size} leaves; header {header.hex()}")
        else:
            size, root, chain = checkpoint(text, args.key, args.origin)
            print(f"{size} leaves, root {root.hex()}, chain hash {chain.hex() if chain else 'not said'}")
    except Bad as bad:
        print(f"does not hold: {bad}", file=sys.stderr)
        return 3
    except (OSError, ValueError, IndexError) as error:
        print(f"can't be read: {error!r}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
