import type { Database } from 'better-sqlite3'
import { DentryTable } from './dentry-table.ts'
import { ExtentTable } from './extent-table.ts'
import { FreedBatchTable } from './freed-batch-table.ts'
import type { InodeTableOptions } from './inode-table.ts'
import { InodeTable } from './inode-table.ts'
import type { Totals } from './local-tables.ts'
import { LocalTables } from './local-tables.ts'
import { SharedSliceTable } from './shared-slice-table.ts'
import { XattrTable } from './xattr-table.ts'

/** All tables of one database, with their statements prepared. */
export class Tables {
  readonly inodes: InodeTable
  readonly dentries: DentryTable
  readonly extents: ExtentTable
  readonly shared: SharedSliceTable
  readonly xattrs: XattrTable
  readonly freed: FreedBatchTable
  readonly local: LocalTables
  /** Counted in memory, written at each commit. */
  readonly totals: Totals

  constructor(database: Database, options: InodeTableOptions = {}) {
    this.inodes = new InodeTable(database, options)
    this.dentries = new DentryTable(database)
    this.extents = new ExtentTable(database)
    this.shared = new SharedSliceTable(database)
    this.xattrs = new XattrTable(database)
    this.freed = new FreedBatchTable(database)
    this.local = new LocalTables(database)
    this.totals = this.local.totals()
  }
}
