#!/usr/bin/env python3
"""An operational unit in Python, with nothing but its standard library.

    python3 unit.py 127.0.0.1:4000 --name shouter --capability shout
"""
import argparse, base64, contextlib, json, os, socket, struct, threading, time


class Line:
    """A WebSocket (RFC 6455) to a node, as much of it as a unit needs."""

    def __init__(self, server, token=None):
        host, port = server.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)))
        self.stream, self.lock = self.socket.makefile("rb"), threading.Lock()
        lines = [
            "GET /v1/unit HTTP/1.1", f"Host: {server}",
            "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: " + base64.b64encode(os.urandom(16)).decode(),
        ] + ([f"Authorization: Bearer {token}"] if token else [])
        self.socket.sendall("\r\n".join(lines + ["", ""]).encode())
        status = self.stream.readline().decode()
        assert " 101 " in status, f"the node refused: {status}"
        while self.stream.readline() not in (b"\r\n", b""):
            pass

    def send(self, payload, opcode=1):
        size, mask = len(payload), os.urandom(4)
        short = size if size < 126 else 126 if size < 1 << 16 else 127
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | short)
        head += struct.pack({126: "!H", 127: "!Q"}[short], size) if short > 125 else b""
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
        with self.lock:
            self.socket.sendall(head + mask + masked)

    def say(self, frame):
        self.send(json.dumps(frame).encode())

    def beat(self, seconds):
        with contextlib.suppress(OSError):  # Whoever reads notices.
            while True:
                self.say({"type": "heartbeat"})
                time.sleep(seconds)

    def exactly(self, count):
        if len(data := self.stream.read(count)) < count:
            raise ConnectionError("the connection broke")
        return data

    def hear(self):
        """The next frame; None when the node closed the connection."""
        text = b""
        while True:
            first, size = self.exactly(2)
            if size > 125:
                size = int.from_bytes(self.exactly(2 if size == 126 else 8), "big")
            data, opcode = self.exactly(size), first & 15
            if opcode == 8:
                return print("closed:", data[2:].decode(), flush=True)
            if opcode == 9:
                self.send(data, 10)
            elif opcode in (0, 1):
                text += data
                if first & 0x80:
                    return json.loads(text)


def work(line, args, session, results):
    """Serves one connection. Results stay in `results` until acknowledged."""
    register = {"type": "register", "name": args.name, "capabilities": [args.capability]}
    line.say(register | ({"resume": session[0]} if session else {}))
    while (frame := line.hear()) is not None:
        key = tuple(frame.get(it) for it in ("id", "session", "attempt"))
        if frame["type"] == "registered":
            session[:] = [frame["session"]]
            seconds = frame["heartbeat_ms"] / 1000
            threading.Thread(target=line.beat, args=[seconds], daemon=True).start()
            [line.say(result) for result in results.values()]
        elif frame["type"] == "operation":
            if key not in results:
                output = str(frame["payload"]).upper()  # The work itself.
                results[key] = dict(zip(("id", "session", "attempt"), key)) | {
                    "type": "result", "status": "completed", "output": output}
            line.say(results[key])
        elif frame["type"] == "result_ack":
            results.pop(key, None)
        elif frame["type"] == "error":
            print("refused:", frame["detail"], flush=True)


parser = argparse.ArgumentParser()
for argument in ("server", "--name", "--capability"):
    parser.add_argument(argument)
arguments, known, told = parser.parse_args(), [], {}
while True:
    try:
        work(Line(arguments.server, os.environ.get("VSM_TOKEN")), arguments, known, told)
    except OSError as error:
        print("lost:", error, flush=True)
    time.sleep(0.5)
