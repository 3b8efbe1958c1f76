#!/usr/bin/env node
/** What umount(8) calls for the type tandemfs; see mount.tandemfs(8). */
import { existsSync } from 'node:fs'
import process from 'node:process'

const helpers = new URL('../dist/src/mount/cli/mount-helpers.js', import.meta.url)
if (existsSync(helpers)) {
  const { umountHelper } = await import(helpers.href)
  process.exitCode = await umountHelper(process.argv.slice(2))
} else {
  process.stderr.write("tandemfs: this checkout: not built yet: run 'npm run build' in it\n")
  process.exitCode = 2
}
