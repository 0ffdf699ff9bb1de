// An operational unit in JavaScript, for Node.js 22 (20: --experimental-websocket).
//
//     node unit.mjs ws://127.0.0.1:4000 --name counter --capability count
import { parseArgs } from "node:util";

const { values: args, positionals } = parseArgs({
  allowPositionals: true,
  options: { name: { type: "string", default: "counter" }, capability: { type: "string", default: "count" } },
});
const token = process.env.VSM_TOKEN;
const url = `${positionals[0]}/v1/unit${token ? `?token=${token}` : ""}`;
const key = ({ id, session, attempt }) => `${id} ${session} ${attempt}`;
// Results that are not acknowledged; the session to resume after a lost connection.
const results = new Map();
let session;

// The work itself.
const perform = async (payload) => ({ words: String(payload).split(/\s+/).filter(Boolean).length });

function connect() {
  const socket = new WebSocket(url);
  const say = (frame) => socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify(frame));
  let beat;

  const hear = {
    registered(frame) {
      session = frame.session;
      beat = setInterval(() => say({ type: "heartbeat" }), frame.heartbeat_ms);
      results.forEach(say);
    },
    async operation(frame) {
      const { id, attempt, session } = frame;
      // The same attempt again: it runs already, or its result was not acknowledged.
      if (results.has(key(frame))) return say(results.get(key(frame)) ?? { type: "heartbeat" });
      results.set(key(frame), undefined);
      const [status, output] = await perform(frame.payload).then(
        (output) => ["completed", output],
        (error) => ["failed", { error: String(error) }],
      );
      results.set(key(frame), { type: "result", id, attempt, session, status, output });
      say(results.get(key(frame)));
    },
    result_ack: (frame) => results.delete(key(frame)),
    error: (frame) => console.error("refused:", frame.detail),
  };

  socket.onopen = () =>
    say({ type: "register", name: args.name, capabilities: [args.capability], capacity: 4, resume: session });
  socket.onmessage = ({ data }, frame = JSON.parse(data)) => hear[frame.type]?.(frame);
  socket.onclose = ({ code, reason }) => {
    clearInterval(beat);
    console.error(`closed: ${code} ${reason}`);
    setTimeout(connect, 500);
  };
  socket.onerror = () => {};
}

connect();
