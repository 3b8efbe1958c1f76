/**
 * A child that delivers into a Maildir: `node maildir-writer.js MAILDIR TAG COUNT`. Each message is
 * written below tmp, made durable, and renamed to new. Prints `ok`.
 */
import { closeSync, fsyncSync, openSync, renameSync, writeSync } from 'node:fs'
import { join } from 'node:path'

const [maildir = '', tag = '', count = '0'] = process.argv.slice(2)

for (let number = 0; number < Number(count); number++) {
  const name = `${number}.${tag}`
  const fd = openSync(join(maildir, 'tmp', name), 'wx')
  writeSync(fd, `Subject: ${tag} ${number}\n\nbody\n`)
  fsyncSync(fd)
  closeSync(fd)
  renameSync(join(maildir, 'tmp', name), join(maildir, 'new', name))
}
process.stdout.write('ok\n')
