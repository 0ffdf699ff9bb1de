// The stock client against a cluster of two real nodes: a writer at each, and a
// reader; one node is stopped and started in between; all end equal.
//
//   cargo build
//   npm install && node nodes.mjs ../../target/debug/vsm
import assert from "node:assert/strict"
import { execFileSync, spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { createServer } from "node:net"
import { once } from "node:events"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { ImmutableString, Repo } from "@automerge/automerge-repo"
import { WebSocketClientAdapter } from "@automerge/automerge-repo-network-websocket"

const program = process.argv[2]
const folder = mkdtempSync(join(tmpdir(), "vsm-sync-"))
const running = new Set()
process.on("exit", () => {
  for (const node of running) node.kill("SIGKILL")
  rmSync(folder, { recursive: true, force: true })
})

function vsm(...words) {
  const said = execFileSync(program, words, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] })
  return said.trim().replace(/^token: /, "")
}

async function port() {
  const listener = createServer().listen(0, "127.0.0.1")
  await once(listener, "listening")
  const { port } = listener.address()
  listener.close()
  await once(listener, "close")
  return port
}

const nodes = [1, 2].map(number => ({ name: `node-${number}`, dir: join(folder, `${number}`) }))
for (const node of nodes) {
  node.port = await port()
  node.address = `127.0.0.1:${node.port}`
  vsm("init", node.dir, "--name", node.name)
  for (const role of ["operator", "auditor"]) {
    node[role] = vsm("token", "create", "--role", role, "--data-dir", node.dir)
      .split(/\s+/).find(word => word.startsWith("vsm_"))
  }
}

async function start(node) {
  const other = nodes.find(it => it !== node)
  const config = ["--config", join(node.dir, "vsm.toml")]
  const env = {
    ...process.env,
    VSM_CLUSTER__PEERS: other.address,
    VSM_TELEMETRY__LOG_FILTER: "warn",
  }
  node.process = spawn(program, ["run", ...config, "--listen", node.address], { stdio: ["ignore", "ignore", "inherit"], env })
  running.add(node.process)
  await until(`${node.name} answers`, async () => {
    const answer = await fetch(`http://${node.address}/readyz`).catch(() => undefined)
    return answer?.ok
  })
}

async function stop(node) {
  node.process.kill("SIGTERM")
  const [code] = await once(node.process, "exit")
  running.delete(node.process)
  assert.equal(code, 0, `${node.name} stops in order`)
}

async function until(what, condition) {
  for (let tries = 0; tries < 400; tries += 1) {
    if (await condition()) return
    await sleep(50)
  }
  assert.fail(`not in time: ${what}`)
}

vsm("cluster", "create", "plant", "--data-dir", nodes[0].dir)
await start(nodes[0])
const token = vsm("cluster", "join-token", "--address", nodes[0].address, "--data-dir", nodes[0].dir)
vsm("cluster", "join", token, "--data-dir", nodes[1].dir)
await start(nodes[1])

async function documents(node, role) {
  const answer = await fetch(`http://${node.address}/v1/documents?token=${node[role]}`)
  assert.equal(answer.status, 200)
  return answer.json()
}

async function shown(node, topic, role = "auditor") {
  return (await documents(node, role)).documents.find(it => it.topic === topic)
}

function client(name, node, role) {
  const address = `ws://${node.address}/v1/sync?token=${node[role]}`
  return new Repo({ network: [new WebSocketClientAdapter(address, 200)], peerId: name })
}

const url = (await shown(nodes[0], "environment")).url
assert.equal((await shown(nodes[1], "environment")).url, url)
const repos = [
  client("one", nodes[0], "operator"),
  client("two", nodes[1], "operator"),
  client("reader", nodes[1], "auditor"),
]
const [a, b, r] = await Promise.all(repos.map(repo => repo.find(url)))
const heads = handle => JSON.stringify(handle.heads().toSorted())
const same = (...handles) => () => handles.every(it => heads(it) === heads(handles[0]))
assert.equal(String(a.doc().topic), "environment")

// Both ways, from both nodes.
for (let turn = 0; turn < 50; turn += 1) {
  a.change(doc => { doc["00"][`a${turn}`] = new ImmutableString("one") })
  b.change(doc => { doc["00"][`b${turn}`] = "two" })
}
await until("two writers and a reader", same(a, b, r))
assert.equal(Object.keys(r.doc()["00"]).length, 100)

// The client can tell that what it wrote is on the node's disk.
const { storage_id } = await documents(nodes[0], "operator")
await until("it is durable", () => {
  const info = a.getSyncInfo(storage_id)
  return info && JSON.stringify(info.lastHeads.toSorted()) === heads(a)
})

// One node is away; its client goes on alone, and comes back by itself.
await stop(nodes[1])
for (let turn = 0; turn < 20; turn += 1) {
  a.change(doc => { doc["01"][`a${turn}`] = new ImmutableString("one") })
  b.change(doc => { doc["01"][`b${turn}`] = "two, alone" })
}
await start(nodes[1])
await until("after the restart", same(a, b, r))
assert.equal(Object.keys(a.doc()["01"]).length, 40)

// What a reader writes stays with it.
const before = heads(a)
r.change(doc => { doc.readers = "own" })
await sleep(500)
assert.equal(heads(a), before)
assert.equal((await shown(nodes[1], "environment")).heads.length, JSON.parse(before).length)

// Presence goes to the others at the same node.
const heard = new Promise(resolve => r.on("ephemeral-message", it => resolve(it.message)))
b.broadcast({ cursor: 7 })
assert.deepEqual(await heard, { cursor: 7 })

// Both nodes hold the same, durably.
await until("both nodes", async () => {
  const held = await Promise.all(nodes.map(node => shown(node, "environment")))
  return JSON.stringify(held[0].heads) === JSON.stringify(held[1].heads)
})
const held = await shown(nodes[0], "environment")
for (const node of nodes) await stop(node)
for (const node of nodes) vsm("log", "audit", join(node.dir, "log"))
console.log(`two nodes converged at ${held.changes} changes; their logs pass the audit`)
process.exit(0)
