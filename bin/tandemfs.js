#!/usr/bin/env node
/** Runs the compiled command; the same program whether installed or in a checkout. */
import { existsSync } from 'node:fs'
import process from 'node:process'

const main = new URL('../dist/src/mount/cli/main.js', import.meta.url)
if (existsSync(main)) {
  await import(main.href)
} else {
  process.stderr.write("tandemfs: this checkout: not built yet: run 'npm run build' in it\n")
  process.exitCode = 15
}
