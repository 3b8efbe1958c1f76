/** Who works where: how many processes, on which node, in whose folder, on whose file. */

export type ShapeName = 'one' | 'eight' | 'sixteen' | 'apart' | 'together' | 'shared'

export interface Shape {
  readonly name: ShapeName
  readonly label: string
  /** The node of each process. */
  readonly nodes: readonly (0 | 1)[]
  /** Each process in a folder of its own; otherwise all in one, with names of their own. */
  readonly ownFolders: boolean
}

export const SHAPES: readonly Shape[] = [
  { name: 'one', label: '1 process', nodes: [0], ownFolders: true },
  { name: 'eight', label: '8 processes', nodes: Array(8).fill(0), ownFolders: true },
  {
    name: 'sixteen',
    label: '16 processes, one folder',
    nodes: Array(16).fill(0),
    ownFolders: false
  },
  { name: 'apart', label: '2 nodes, own folders', nodes: [0, 1], ownFolders: true },
  { name: 'together', label: '2 nodes, one folder', nodes: [0, 1], ownFolders: false },
  { name: 'shared', label: '2 nodes, one file', nodes: [0, 1], ownFolders: false }
]
