/**
 * The process that works on one mount for the demonstration: what it does there, the demonstration
 * itself never does, so that a mount that hangs cannot hang its clean-up.
 */
import { createHash } from 'node:crypto'
import {
  appendFileSync,
  closeSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
  writeSync
} from 'node:fs'
import path from 'node:path'

export type Work =
  | { readonly do: 'write'; readonly file: string; readonly text: string }
  | { readonly do: 'read'; readonly file: string }
  | { readonly do: 'makeTree'; readonly folder: string; readonly files: number }
  | { readonly do: 'digest'; readonly folder: string }
  | {
      readonly do: 'append'
      readonly file: string
      readonly word: string
      readonly lines: number
    }

export interface WorkDone {
  readonly result: string
  readonly ms: number
}

/** Writes and fsyncs. */
function writeDurably(file: string, text: string): void {
  const fd = openSync(file, 'w')
  try {
    writeSync(fd, text)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

function makeTree(folder: string, files: number): void {
  for (let index = 0; index < files; index += 1) {
    const parent = path.join(folder, `d${index % 10}`, `e${index % 7}`)
    mkdirSync(parent, { recursive: true })
    writeFileSync(path.join(parent, `file${index}`), `content of file ${index}\n`)
  }
}

/** One hash over every name, kind and content below the folder, and how many files there are. */
function digest(folder: string): string {
  const hash = createHash('sha256')
  let files = 0
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()
  for (const name of names) {
    const full = path.join(folder, name)
    const isFile = lstatSync(full).isFile()
    hash.update(`${name}\0${isFile}\0`)
    if (!isFile) continue
    files += 1
    hash.update(readFileSync(full))
  }
  return `${files} files ${hash.digest('hex')}`
}

function appendLines(file: string, word: string, lines: number): void {
  const fd = openSync(file, 'a')
  try {
    for (let line = 0; line < lines; line += 1) appendFileSync(fd, `${word} ${line}\n`)
  } finally {
    closeSync(fd)
  }
}

function perform(work: Work): string {
  switch (work.do) {
    case 'write':
      writeDurably(work.file, work.text)
      return ''
    case 'read':
      return readFileSync(work.file, 'utf8')
    case 'makeTree':
      makeTree(work.folder, work.files)
      return ''
    case 'digest':
      return digest(work.folder)
    case 'append':
      appendLines(work.file, work.word, work.lines)
      return ''
  }
}

process.on('message', (work: Work) => {
  const startedMs = performance.now()
  try {
    const result = perform(work)
    process.send?.({ result, ms: performance.now() - startedMs } satisfies WorkDone)
  } catch (error) {
    process.send?.({ error: error instanceof Error ? error.message : String(error) })
  }
})
