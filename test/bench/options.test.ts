import test from 'brittle'
import { parseOptions } from '../../bench/options.ts'
import { workloadsOf } from '../../bench/rounds.ts'
import { SHAPES } from '../../bench/shapes.ts'

test('bench options - systems, workloads and delays are chosen by name', (t) => {
  const plain = parseOptions([])
  t.alike([...plain.systems], ['tandemfs', 'passthrough', 'local disk'])
  t.alike(plain.delaysMs, [0])
  const chosen = parseOptions([
    ...[
      '--peer',
      'gluster',
      '--without',
      'disk,passthrough',
      '--only',
      'rename',
      '--delays',
      '0,10'
    ]
  ])
  t.alike([...chosen.systems], ['tandemfs', 'GlusterFS'])
  t.alike(chosen.delaysMs, [0, 10])
  t.alike([...chosen.chosen], ['rename'])
})

test('bench options - what is unknown is refused with what there is', (t) => {
  t.exception(() => parseOptions(['--only', 'renames']), /renames.*create/)
  t.exception(() => parseOptions(['--peer', 'nfs']), /only 'gluster'/)
  t.exception(() => parseOptions(['--delays', '1,x']), /--delays/)
  t.exception(() => parseOptions(['--rounds', '0']), /--rounds/)
})

test('bench rounds - a workload brings those whose files it needs', (t) => {
  const [one] = SHAPES
  if (one === undefined) throw new Error('no shape')
  const names = workloadsOf(one, new Set(['stream-read', 'rename'])).map(({ name }) => name)
  t.alike(names, ['create', 'rename', 'stream-write', 'stream-read'])
})
