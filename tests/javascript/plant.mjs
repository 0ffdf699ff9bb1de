// A cluster of real nodes, each a process, with lines between them that can be
// cut: every node reaches every other through a proxy of its own.
import assert from "node:assert/strict"
import { execFileSync, spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { connect, createServer } from "node:net"
import { once } from "node:events"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { Repo } from "@automerge/automerge-repo"
import { WebSocketClientAdapter } from "@automerge/automerge-repo-network-websocket"

export async function until(what, condition) {
  for (let tries = 0; tries < 600; tries += 1) {
    if (await condition()) return
    await sleep(50)
  }
  assert.fail(`not in time: ${what}`)
}

async function port() {
  const listener = createServer().listen(0, "127.0.0.1")
  await once(listener, "listening")
  const { port } = listener.address()
  listener.close()
  await once(listener, "close")
  return port
}

// A line to a node: bytes go through until it is cut.
class Line {
  constructor(node) {
    this.node = node
    this.open = true
    this.sockets = new Set()
    this.server = createServer(near => {
      if (!this.open) return near.destroy()
      const far = connect(node.port, "127.0.0.1")
      for (const [one, other] of [[near, far], [far, near]]) {
        this.sockets.add(one)
        one.pipe(other)
        one.on("error", () => other.destroy())
        one.on("close", () => { this.sockets.delete(one); other.destroy() })
      }
    }).listen(0, "127.0.0.1")
    this.ready = once(this.server, "listening")
    // The script ends without it.
    this.server.unref()
  }

  get address() { return `127.0.0.1:${this.server.address().port}` }

  cut() {
    this.open = false
    for (const socket of this.sockets) socket.destroy()
  }

  mend() { this.open = true }
}

export class Plant {
  constructor(program) {
    this.program = program
    this.folder = mkdtempSync(join(tmpdir(), "vsm-sync-"))
    this.running = new Set()
    this.nodes = []
    this.lines = []
    process.on("exit", () => {
      for (const node of this.running) node.kill("SIGKILL")
      rmSync(this.folder, { recursive: true, force: true })
    })
  }

  vsm(...words) {
    const options = { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }
    return execFileSync(this.program, words, options).trim().replace(/^token: /, "")
  }

  // Founds a cluster of so many nodes, and starts them.
  static async of(count, program) {
    const plant = new Plant(program)
    for (let number = 1; number <= count; number += 1) {
      const node = { name: `node-${number}`, dir: join(plant.folder, `${number}`), port: await port() }
      node.address = `127.0.0.1:${node.port}`
      plant.vsm("init", node.dir, "--name", node.name)
      for (const role of ["operator", "auditor"]) {
        node[role] = plant.vsm("token", "create", "--role", role, "--data-dir", node.dir)
          .split(/\s+/).find(word => word.startsWith("vsm_"))
      }
      plant.nodes.push(node)
    }
    for (const from of plant.nodes) {
      for (const to of plant.nodes.filter(it => it !== from)) {
        const line = new Line(to)
        await line.ready
        plant.lines.push({ from, to, line })
      }
    }
    const [first, ...others] = plant.nodes
    plant.vsm("cluster", "create", "plant", "--data-dir", first.dir)
    await plant.start(first)
    for (const node of others) {
      const token = plant.vsm("cluster", "join-token", "--address", first.address, "--data-dir", first.dir)
      plant.vsm("cluster", "join", token, "--data-dir", node.dir)
      await plant.start(node)
    }
    return plant
  }

  async start(node) {
    const peers = this.lines.filter(it => it.from === node).map(it => it.line.address)
    const config = ["--config", join(node.dir, "vsm.toml"), "--listen", node.address]
    const env = {
      ...process.env,
      VSM_CLUSTER__PEERS: peers.join(","),
      VSM_TELEMETRY__LOG_FILTER: "warn",
    }
    node.process = spawn(this.program, ["run", ...config], { stdio: ["ignore", "ignore", "inherit"], env })
    this.running.add(node.process)
    await until(`${node.name} answers`, async () => {
      const answer = await fetch(`http://${node.address}/readyz`).catch(() => undefined)
      return answer?.ok
    })
  }

  async stop(node) {
    node.process.kill("SIGTERM")
    const [code] = await once(node.process, "exit")
    this.running.delete(node.process)
    assert.equal(code, 0, `${node.name} stops in order`)
  }

  async kill(node) {
    node.process.kill("SIGKILL")
    await once(node.process, "exit")
    this.running.delete(node.process)
  }

  // Only nodes of one group reach each other.
  part(...groups) {
    const group = node => groups.findIndex(it => it.includes(node))
    for (const { from, to, line } of this.lines) {
      if (group(from) === group(to)) line.mend()
      else line.cut()
    }
  }

  heal() {
    for (const { line } of this.lines) line.mend()
  }

  async documents(node, role) {
    const answer = await fetch(`http://${node.address}/v1/documents?token=${node[role]}`)
    assert.equal(answer.status, 200)
    return answer.json()
  }

  async shown(node, topic, role = "auditor") {
    const { documents } = await this.documents(node, role)
    return documents.find(it => it.topic === topic)
  }

  client(name, node, role) {
    const address = `ws://${node.address}/v1/sync?token=${node[role]}`
    return new Repo({ network: [new WebSocketClientAdapter(address, 200)], peerId: name })
  }

  // All nodes hold the same of a topic, durably.
  async agree(topic) {
    await until(`every node agrees on ${topic}`, async () => {
      const held = await Promise.all(this.nodes.map(node => this.shown(node, topic)))
      return held.every(it => JSON.stringify(it.heads) === JSON.stringify(held[0].heads))
    })
    return this.shown(this.nodes[0], topic)
  }

  // Stops every node; its log follows from itself, and all agree with each other.
  async end() {
    for (const node of this.nodes) await this.stop(node)
    const logs = this.nodes.map(node => join(node.dir, "log"))
    for (const log of logs) this.vsm("log", "audit", log)
    const peers = logs.slice(1).flatMap(log => ["--peer-log", log])
    this.vsm("log", "audit", logs[0], ...peers)
  }
}

export const heads = handle => JSON.stringify(handle.heads().toSorted())
export const same = (...handles) => () => handles.every(it => heads(it) === heads(handles[0]))
