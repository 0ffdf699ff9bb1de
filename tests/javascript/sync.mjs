// The stock client against sessions of the sync protocol: two writers, a
// reader and the server edit one document, through lost connections, and end
// equal; a reader's edits stay with it; an unknown document is unavailable.
//
//   cargo build -p vsm-replication --example sync_stdio
//   npm install && node sync.mjs ../../target/debug/examples/sync_stdio
import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { setTimeout as sleep } from "node:timers/promises"
import { WebSocketServer } from "ws"
import { Repo, generateAutomergeUrl } from "@automerge/automerge-repo"
import { WebSocketClientAdapter } from "@automerge/automerge-repo-network-websocket"

const NONE = 0xffffffff
const server = spawn(process.argv[2], { stdio: ["pipe", "pipe", "inherit"] })
const sockets = new Map()
const answers = []
let next = 0
let closed = 0
let buffer = Buffer.alloc(0)
let announce
const url = new Promise(resolve => (announce = resolve))

function send(connection, bytes, length = bytes.length) {
  const head = Buffer.alloc(8)
  head.writeUInt32LE(connection, 0)
  head.writeUInt32LE(length, 4)
  server.stdin.write(Buffer.concat([head, bytes]))
}

server.stdout.on("data", data => {
  buffer = Buffer.concat([buffer, data])
  if (announce) {
    const end = buffer.indexOf(10)
    if (end < 0) return
    announce(buffer.subarray(0, end).toString())
    announce = undefined
    buffer = buffer.subarray(end + 1)
  }
  while (buffer.length >= 8) {
    const connection = buffer.readUInt32LE(0)
    const length = buffer.readUInt32LE(4)
    if (length === NONE) {
      closed += 1
      sockets.get(connection)?.close()
      buffer = buffer.subarray(8)
      continue
    }
    if (buffer.length < 8 + length) return
    const bytes = Buffer.from(buffer.subarray(8, 8 + length))
    buffer = buffer.subarray(8 + length)
    if (connection === NONE) answers.shift()(JSON.parse(bytes.toString()))
    else sockets.get(connection)?.send(bytes)
  }
})

function serverEdit() {
  send(NONE, Buffer.from("edit"))
  return new Promise(resolve => answers.push(resolve))
}

const listener = new WebSocketServer({ port: 0, host: "127.0.0.1" })
listener.on("connection", (socket, request) => {
  // Even numbers write, odd ones read.
  const connection = next * 2 + (request.url === "/read" ? 1 : 0)
  next += 1
  sockets.set(connection, socket)
  send(connection, Buffer.alloc(0))
  socket.on("message", bytes => send(connection, bytes))
  socket.on("close", () => {
    sockets.delete(connection)
    send(connection, Buffer.alloc(0), NONE)
  })
})
await once(listener, "listening")
const address = `ws://127.0.0.1:${listener.address().port}`

function client(name, path = "/") {
  const adapter = new WebSocketClientAdapter(address + path, 200)
  return new Repo({ network: [adapter], peerId: name })
}

async function until(what, condition) {
  for (let tries = 0; tries < 200; tries += 1) {
    if (condition()) return
    await sleep(50)
  }
  assert.fail(`not in time: ${what}`)
}

const same = (...handles) => () => {
  const [first, ...others] = handles.map(it => JSON.stringify(it.heads().toSorted()))
  return others.every(it => it === first)
}

const one = client("one")
const two = client("two")
const reader = client("reader", "/read")
const [a, b, r] = await Promise.all(
  [one, two, reader].map(async repo => repo.find(await url)),
)
// Strings of a node are scalars, which the client shows as ImmutableString.
assert.equal(String(a.doc().by), "server")

// Both ways, and concurrently.
a.change(doc => { doc.list = [1, 2, 3]; doc.text = "from one" })
b.change(doc => { doc.map = { deep: { x: 1 } }; doc.when = new Date(0) })
let seen = await serverEdit()
await until("three writers", same(a, b, r))
seen = await serverEdit()
await until("the server's edit", same(a, b, r))
assert.deepEqual(a.doc().list, [1, 2, 3])
assert.equal(seen.text, "from one")
assert.equal(seen.map.deep.x, 1)

// Offline edits of both, a large paste that travels compressed, and history.
for (const socket of sockets.values()) socket.terminate()
for (let turn = 0; turn < 100; turn += 1) {
  a.change(doc => { doc.turn = turn; doc.list.push(turn) })
  b.change(doc => { doc.other = turn })
}
b.change(doc => { doc.large = "paste ".repeat(3000) })
await serverEdit()
await until("after the partition", same(a, b, r))
assert.equal(r.doc().list.length, 103)
assert.equal(a.doc().large.length, 18000)

// What a reader writes stays with it, and it still follows.
r.change(doc => { doc.readers = "own" })
await sleep(500)
a.change(doc => { doc.after = 1 })
await until("the reader follows", () => r.doc().after === 1)
await until("the writers agree", same(a, b))
assert.equal(a.doc().readers, undefined)
assert.equal((await serverEdit()).readers, undefined)

// The server's heads are seen by the name of its storage: an application can
// tell whether its change is durable.
await until("sync info", () => {
  const info = a.getSyncInfo("log-1")
  return info && JSON.stringify(info.lastHeads.toSorted()) === JSON.stringify(a.heads().toSorted())
})

// Presence goes to the others and never into the document.
const heard = new Promise(resolve => b.on("ephemeral-message", it => resolve(it.message)))
a.broadcast({ cursor: 7 })
assert.deepEqual(await heard, { cursor: 7 })

// A document of the client's own isn't taken; another one isn't there.
const own = one.create({ mine: true })
await sleep(300)
await assert.rejects(two.find(own.url))
await assert.rejects(two.find(generateAutomergeUrl()))

// A client that comes last gets everything.
const late = await client("late").find(await url)
await until("the late one", same(a, late))
assert.equal(closed, 0, "no honest client is turned away")
console.log(`converged at ${a.heads().length} heads with ${Object.keys(a.doc()).length} keys`)
process.exit(0)
