/** Lines that several loads append to one file: whole, there once, in the order of the clock. */
import { describe, groupBy, isLate, type Judged, mayBeLost } from './judged.ts'
import type { Operation } from './operations.ts'

const FILES = ['log', 'mbox'] as const
const LINE = /^([\w.-]+) (\d+) x{20,99}!$/

export function checkLines(judged: Judged): string[] {
  const problems: string[] = []
  for (const file of FILES) {
    const ofFile = judged.operations.filter((operation) => operation.object === file)
    const lines = new Map(
      ofFile
        .filter(({ kind }) => kind === 'line')
        .map((operation) => [`${operation.tag} ${operation.value}`, operation])
    )
    const durable = durableLines(ofFile)
    for (const [node, state] of judged.found) {
      const where = `${file} on ${node}`
      const found = new Set<string>()
      problems.push(...checkText(judged, where, state[file], lines, found))
      for (const [name, line] of lines) {
        if (found.has(name) || line.result !== 'ok') continue
        if (durable.has(line)) problems.push(`${where}: durable line lost: ${describe(line)}`)
        else if (!mayBeLost(judged, line)) problems.push(`${where}: lost: ${describe(line)}`)
      }
    }
  }
  return problems
}

function checkText(
  judged: Judged,
  where: string,
  text: string,
  lines: ReadonlyMap<string, Operation>,
  found: Set<string>
): string[] {
  const problems: string[] = []
  const parts = text.split('\n')
  if (parts.pop() !== '') problems.push(`${where}: the last line is not whole`)
  let latest: Operation | undefined
  for (const [index, part] of parts.entries()) {
    const [, tag, number] = LINE.exec(part) ?? []
    const name = `${tag} ${number}`
    const line = lines.get(name)
    if (tag === undefined) {
      problems.push(
        `${where}: line ${index + 1} is not whole: ${JSON.stringify(part.slice(0, 80))}`
      )
    } else if (line === undefined) {
      problems.push(`${where}: nobody wrote line ${name}`)
    } else {
      if (found.has(name)) problems.push(`${where}: line ${name} is there twice`)
      if (isLate(judged, line)) problems.push(`${where}: late line: ${describe(line)}`)
      if (latest !== undefined && line.endUs < latest.beginUs) {
        problems.push(`${where}: ${describe(line)} stands after ${describe(latest)}`)
      }
      if (latest === undefined || line.beginUs > latest.beginUs) latest = line
    }
    found.add(name)
  }
  return problems
}

/** Lines that an fsync through the same handle has acknowledged; after an error it is another. */
function durableLines(operations: readonly Operation[]): Set<Operation> {
  const durable = new Set<Operation>()
  for (const ofTag of groupBy(operations, ({ tag }) => tag).values()) {
    let pending: Operation[] = []
    for (const operation of ofTag.sort((a, b) => a.beginUs - b.beginUs)) {
      if (operation.result !== 'ok') {
        pending = []
      } else if (operation.kind === 'line') {
        pending.push(operation)
      } else if (operation.kind === 'sync') {
        for (const line of pending) durable.add(line)
        pending = []
      }
    }
  }
  return durable
}
