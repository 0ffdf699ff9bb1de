// The stock client through partitions: three real nodes, two clients that edit
// one document, entries and one text letter by letter; the nodes are parted in
// every way, one is killed; at the end all are equal, and nothing that a client
// wrote is missing.
//
//   cargo build
//   npm install && node partitions.mjs ../../target/debug/vsm
import assert from "node:assert/strict"
import { setTimeout as sleep } from "node:timers/promises"
import { ImmutableString, updateText } from "@automerge/automerge-repo"
import { Plant, same, until } from "./plant.mjs"

const TURNS = 40

const plant = await Plant.of(3, process.argv[2])
const [one, two, three] = plant.nodes
const { url } = await plant.shown(one, "environment")
const repos = [
  plant.client("one", one, "operator"),
  plant.client("two", two, "operator"),
  plant.client("reader", three, "auditor"),
]
const [a, b, r] = await Promise.all(repos.map(repo => repo.find(url)))

// A text that both write into, at its two ends.
a.change(doc => { doc.notes = "|" })
await until("the text is everywhere", same(a, b, r))

let written = 0
async function both_write(what) {
  for (let turn = 0; turn < TURNS; turn += 1) {
    a.change(doc => {
      doc["0a"][`${what} a${turn}`] = new ImmutableString("one")
      updateText(doc, ["notes"], `a${doc.notes}`)
    })
    b.change(doc => {
      doc["0b"][`${what} b${turn}`] = "two"
      updateText(doc, ["notes"], `${doc.notes}b`)
    })
    await sleep(5)
  }
  written += TURNS
}

async function together(what, parted = true) {
  await sleep(300)
  if (parted) assert(!same(a, b, r)(), `nothing gets through in ${what}`)
  plant.heal()
  await until(`equal after ${what}`, same(a, b, r))
  const letters = "a".repeat(written) + "|" + "b".repeat(written)
  assert.equal(String(r.doc().notes), letters, `no letter is lost in ${what}`)
  for (const [bucket, name] of [["0a", "a"], ["0b", "b"]]) {
    const keys = Object.keys(r.doc()[bucket]).filter(it => it.startsWith(what))
    assert.equal(keys.length, TURNS, `nothing that ${name} wrote is lost in ${what}`)
  }
}

await both_write("whole")
await together("whole", false)

plant.part([one], [two, three])
await both_write("first alone")
await together("first alone")

plant.part([one, three], [two])
await both_write("second alone")
await together("second alone")

plant.part([one, two], [three])
await both_write("third alone")
await together("third alone")

plant.part([one], [two], [three])
await both_write("all alone")
await together("all alone")

// Parted, and the one that one of them writes to is killed meanwhile.
plant.part([one], [two, three])
const writing = both_write("a death")
await sleep(50)
await plant.kill(two)
await writing
await plant.start(two)
await together("a death")

const held = await plant.agree("environment")
await plant.end()
console.log(`three nodes and their clients converged at ${held.changes} changes; their logs agree`)
process.exit(0)
