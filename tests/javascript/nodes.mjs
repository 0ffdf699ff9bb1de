// The stock client against a cluster of two real nodes: a writer at each, and a
// reader; one node is stopped and started in between; all end equal.
//
//   cargo build
//   npm install && node nodes.mjs ../../target/debug/vsm
import assert from "node:assert/strict"
import { setTimeout as sleep } from "node:timers/promises"
import { ImmutableString } from "@automerge/automerge-repo"
import { Plant, heads, same, until } from "./plant.mjs"

const plant = await Plant.of(2, process.argv[2])
const { nodes } = plant

const url = (await plant.shown(nodes[0], "environment")).url
assert.equal((await plant.shown(nodes[1], "environment")).url, url)
const repos = [
  plant.client("one", nodes[0], "operator"),
  plant.client("two", nodes[1], "operator"),
  plant.client("reader", nodes[1], "auditor"),
]
const [a, b, r] = await Promise.all(repos.map(repo => repo.find(url)))
assert.equal(String(a.doc().topic), "environment")

// Both ways, from both nodes.
for (let turn = 0; turn < 50; turn += 1) {
  a.change(doc => { doc["00"][`a${turn}`] = new ImmutableString("one") })
  b.change(doc => { doc["00"][`b${turn}`] = "two" })
}
await until("two writers and a reader", same(a, b, r))
assert.equal(Object.keys(r.doc()["00"]).length, 100)

// The client can tell that what it wrote is on the node's disk.
const { storage_id } = await plant.documents(nodes[0], "operator")
await until("it is durable", () => {
  const info = a.getSyncInfo(storage_id)
  return info && JSON.stringify(info.lastHeads.toSorted()) === heads(a)
})

// One node is away; its client goes on alone, and comes back by itself.
await plant.stop(nodes[1])
for (let turn = 0; turn < 20; turn += 1) {
  a.change(doc => { doc["01"][`a${turn}`] = new ImmutableString("one") })
  b.change(doc => { doc["01"][`b${turn}`] = "two, alone" })
}
await plant.start(nodes[1])
await until("after the restart", same(a, b, r))
assert.equal(Object.keys(a.doc()["01"]).length, 40)

// What a reader writes stays with it.
const before = heads(a)
r.change(doc => { doc.readers = "own" })
await sleep(500)
assert.equal(heads(a), before)
assert.equal((await plant.shown(nodes[1], "environment")).heads.length, JSON.parse(before).length)

// Presence goes to the others at the same node.
const heard = new Promise(resolve => r.on("ephemeral-message", it => resolve(it.message)))
b.broadcast({ cursor: 7 })
assert.deepEqual(await heard, { cursor: 7 })

// Both nodes hold the same, durably.
const held = await plant.agree("environment")
await plant.end()
console.log(`two nodes converged at ${held.changes} changes; their logs pass the audit`)
process.exit(0)
