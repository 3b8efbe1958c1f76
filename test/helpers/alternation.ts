/**
 * "Write on one node, then look from the other": one random change to a small tree on the writing
 * node, then every fresh system call that could show it on the other, against a model of the tree.
 */
import { isDeepStrictEqual } from 'node:util'
import type { SeededRandom } from './random.ts'
import type { OperationName, Worker } from './worker-client.ts'

const SIZE_BYTES_MAX = 40_000
const FILES_MAX = 40

interface FileModel {
  label: string
  version: number
  content: Content
}

type Content =
  | { readonly kind: 'version'; readonly sizeBytes: number }
  | { readonly kind: 'text'; readonly text: string }

/** One side of the volume: a worker and its paths. */
export interface Side {
  readonly name: string
  readonly worker: Worker
  path(relative: string): string
}

export class Alternation {
  readonly #random: SeededRandom
  readonly #files = new Map<string, FileModel>()
  readonly #folders = new Set<string>()
  readonly #links = new Map<string, string>()
  #counter = 0

  constructor(random: SeededRandom) {
    this.#random = random
  }

  /** One change on `writer`, seen from `reader`. Returns what was wrong. */
  async step(writer: Side, reader: Side): Promise<string[]> {
    const roll = this.#random.next()
    const name = this.#files.size > 0 ? this.#random.pick([...this.#files.keys()]) : undefined
    if (name === undefined || (roll < 0.25 && this.#files.size < FILES_MAX)) {
      return this.#create(writer, reader)
    }
    if (roll < 0.4) return this.#replaceContent(writer, reader, name)
    if (roll < 0.55) return this.#append(writer, reader, name)
    if (roll < 0.65) return this.#truncate(writer, reader, name)
    if (roll < 0.75) return this.#rename(writer, reader, name)
    if (roll < 0.83) return this.#unlink(writer, reader, name)
    if (roll < 0.88) return this.#setAttributes(writer, reader, name)
    if (roll < 0.92) return this.#overwriteInPlace(writer, reader, name)
    if (roll < 0.96) return this.#folder(writer, reader)
    return this.#symlink(writer, reader)
  }

  async #create(writer: Side, reader: Side): Promise<string[]> {
    const name = `f${this.#counter++}`
    const file: FileModel = { label: name, version: 1, content: this.#versionContent() }
    this.#files.set(name, file)
    return this.#writeWhole(writer, reader, name, file)
  }

  async #replaceContent(writer: Side, reader: Side, name: string): Promise<string[]> {
    const file = this.#model(name)
    file.version++
    file.content = this.#versionContent()
    return this.#writeWhole(writer, reader, name, file)
  }

  async #writeWhole(writer: Side, reader: Side, name: string, file: FileModel): Promise<string[]> {
    const { label, version, content } = file
    const sizeBytes = content.kind === 'version' ? content.sizeBytes : 0
    const fsync = this.#random.chance(0.5)
    await writer.worker.call('write', { path: writer.path(name), label, version, sizeBytes, fsync })
    return this.#checkFile('write', writer, reader, name)
  }

  async #append(writer: Side, reader: Side, name: string): Promise<string[]> {
    const text = `appended ${this.#counter++}\n`
    const path = writer.path(name)
    const before = await this.#currentText(writer, name)
    const fsync = this.#random.chance(0.3)
    await writer.worker.call('write', { path, text, flags: 'a', fsync })
    this.#model(name).content = { kind: 'text', text: before + text }
    return this.#checkFile('append', writer, reader, name)
  }

  async #overwriteInPlace(writer: Side, reader: Side, name: string): Promise<string[]> {
    const before = await this.#currentText(writer, name)
    const text = `<in place ${this.#counter++}>`
    const offset = this.#random.below(before.length + 100)
    await writer.worker.call('write', { path: writer.path(name), text, flags: 'r+', offset })
    const padded = before.padEnd(offset, '\0')
    this.#model(name).content = {
      kind: 'text',
      text: padded.slice(0, offset) + text + padded.slice(offset + text.length)
    }
    return this.#checkFile('overwrite in place', writer, reader, name)
  }

  async #truncate(writer: Side, reader: Side, name: string): Promise<string[]> {
    const before = await this.#currentText(writer, name)
    const length = this.#random.below(before.length + 5000)
    await writer.worker.call('truncate', { path: writer.path(name), size: length })
    this.#model(name).content = {
      kind: 'text',
      text: before.slice(0, length).padEnd(length, '\0')
    }
    return this.#checkFile('truncate', writer, reader, name)
  }

  async #rename(writer: Side, reader: Side, name: string): Promise<string[]> {
    const onto = this.#random.chance(0.4) ? this.#random.pick([...this.#files.keys()]) : name
    const to = onto === name ? `f${this.#counter++}` : onto
    await writer.worker.call('rename', { path: writer.path(name), to: writer.path(to) })
    this.#files.set(to, this.#model(name))
    this.#files.delete(name)
    return [
      ...(await this.#checkFile(`rename ${name}`, writer, reader, to)),
      ...(await this.#checkAbsent('rename', reader, name))
    ]
  }

  async #unlink(writer: Side, reader: Side, name: string): Promise<string[]> {
    await writer.worker.call('unlink', { path: writer.path(name) })
    this.#files.delete(name)
    return this.#checkAbsent('unlink', reader, name)
  }

  async #setAttributes(writer: Side, reader: Side, name: string): Promise<string[]> {
    const path = writer.path(name)
    const mode = this.#random.pick([0o600, 0o644, 0o755, 0o444])
    const mtime = 1_000_000_000 + this.#random.below(1_000_000)
    await writer.worker.call('chmod', { path, mode })
    await writer.worker.call('utimes', { path, atime: mtime, mtime })
    const seen = await this.#look(reader, 'stat', { path: reader.path(name) })
    const problems: string[] = []
    if (!('value' in seen) || (seen.value as { mode: number }).mode !== mode) {
      problems.push(`chmod ${name} to ${mode}: ${reader.name} sees ${JSON.stringify(seen)}`)
    }
    return [...problems, ...(await this.#checkFile('attributes', writer, reader, name))]
  }

  async #folder(writer: Side, reader: Side): Promise<string[]> {
    const existing = [...this.#folders]
    if (existing.length > 5) {
      const name = this.#random.pick(existing)
      await writer.worker.call('rmdir', { path: writer.path(name) })
      this.#folders.delete(name)
      return this.#checkAbsent('rmdir', reader, name)
    }
    const name = `d${this.#counter++}`
    await writer.worker.call('mkdir', { path: writer.path(name) })
    this.#folders.add(name)
    const seen = await this.#look(reader, 'readdir', { path: reader.path(name) })
    const wrong = !('value' in seen) || !isDeepStrictEqual(seen.value, [])
    return [
      ...(wrong ? [`mkdir ${name}: ${reader.name} sees ${JSON.stringify(seen)}`] : []),
      ...(await this.#checkListing('mkdir', reader))
    ]
  }

  async #symlink(writer: Side, reader: Side): Promise<string[]> {
    const existing = [...this.#links.keys()]
    if (existing.length > 5) {
      const name = this.#random.pick(existing)
      await writer.worker.call('unlink', { path: writer.path(name) })
      this.#links.delete(name)
      return this.#checkAbsent('unlink of a symlink', reader, name)
    }
    const name = `l${this.#counter++}`
    const target = `target-${this.#random.below(1000)}`
    await writer.worker.call('symlink', { path: writer.path(name), target })
    this.#links.set(name, target)
    const seen = await this.#look(reader, 'readlink', { path: reader.path(name) })
    const wrong = !('value' in seen) || seen.value !== target
    return [
      ...(wrong ? [`symlink ${name}: ${reader.name} sees ${JSON.stringify(seen)}`] : []),
      ...(await this.#checkListing('symlink', reader))
    ]
  }

  /** Content, attributes equal on both nodes, and the listing. */
  async #checkFile(what: string, writer: Side, reader: Side, name: string): Promise<string[]> {
    const problems: string[] = []
    const file = this.#model(name)
    const path = reader.path(name)
    if (file.content.kind === 'text') {
      const seen = await this.#look(reader, 'readBase64', { path })
      const expected = Buffer.from(file.content.text, 'latin1').toString('base64')
      if (!('value' in seen) || seen.value !== expected) {
        const got = 'value' in seen ? `${String(seen.value).length} base64 bytes` : seen.code
        problems.push(`${what} ${name}: ${reader.name} reads ${got}, not ${expected.length}`)
      }
    } else {
      const seen = await this.#look(reader, 'identify', { path, label: file.label })
      const expected = { version: file.version }
      if (!('value' in seen) || !isDeepStrictEqual(seen.value, expected)) {
        problems.push(
          `${what} ${name} v${file.version}: ${reader.name} sees ${JSON.stringify(seen)}`
        )
      }
    }
    const ours = await this.#look(reader, 'stat', { path })
    const theirs = await this.#look(writer, 'stat', { path: writer.path(name) })
    if (!isDeepStrictEqual(ours, theirs)) {
      problems.push(`${what} ${name}: stat ${JSON.stringify(ours)} not ${JSON.stringify(theirs)}`)
    }
    if (this.#random.chance(0.3)) problems.push(...(await this.#checkListing(what, reader)))
    return problems
  }

  async #checkAbsent(what: string, reader: Side, name: string): Promise<string[]> {
    const problems: string[] = []
    for (const operation of ['lstat', 'readText'] as const) {
      const seen = await this.#look(reader, operation, { path: reader.path(name) })
      if ('value' in seen || seen.code !== 'ENOENT') {
        problems.push(
          `${what} ${name}: ${operation} on ${reader.name} gives ${JSON.stringify(seen)}`
        )
      }
    }
    return [...problems, ...(await this.#checkListing(what, reader))]
  }

  async #checkListing(what: string, reader: Side): Promise<string[]> {
    const expected = [...this.#files.keys(), ...this.#folders, ...this.#links.keys()].sort()
    const seen = await this.#look(reader, 'readdir', { path: reader.path('') })
    if ('value' in seen && isDeepStrictEqual(seen.value, expected)) return []
    return [`${what}: ${reader.name} lists ${JSON.stringify(seen)} not ${expected.join(' ')}`]
  }

  async #look<K extends OperationName>(
    side: Side,
    operation: K,
    args: Parameters<typeof side.worker.call<K>>[1]
  ): Promise<{ readonly value: unknown } | { readonly code: string }> {
    try {
      return { value: await side.worker.call(operation, args) }
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === undefined) throw error
      return { code }
    }
  }

  /** The bytes as the writing node reads them before it changes them, one character each. */
  async #currentText(writer: Side, name: string): Promise<string> {
    const { content } = this.#model(name)
    if (content.kind === 'text') return content.text
    const encoded = await writer.worker.call('readBase64', { path: writer.path(name) })
    return Buffer.from(encoded, 'base64').toString('latin1')
  }

  #versionContent(): Content {
    return { kind: 'version', sizeBytes: this.#random.below(SIZE_BYTES_MAX) }
  }

  #model(name: string): FileModel {
    const file = this.#files.get(name)
    if (file === undefined) throw new Error(`no file ${name} in the model`)
    return file
  }
}
