/** The JSON lines between a test and its worker children: one request, one response, in order. */

export interface WorkerRequest {
  readonly id: number
  readonly op: string
  readonly args: Readonly<Record<string, unknown>>
}

export interface WorkerFailure {
  readonly id: number
  readonly ok: false
  /** Errno name where the failure has one. */
  readonly code: string
  readonly message: string
}

export interface WorkerSuccess {
  readonly id: number
  readonly ok: true
  readonly value: unknown
}

export type WorkerResponse = WorkerFailure | WorkerSuccess

export interface StatAnswer {
  readonly ino: number
  readonly type: string
  readonly mode: number
  readonly nlink: number
  readonly uid: number
  readonly gid: number
  readonly size: number
  /** Nanoseconds since 1970 in decimal: they do not fit a number. */
  readonly mtimeNs: string
  readonly ctimeNs: string
}

export interface TreeEntry {
  readonly path: string
  readonly type: string
  readonly mode: number
  readonly nlink: number
  readonly size: number
  readonly mtimeNs: string
  /** sha256 of a file, target of a symlink, empty otherwise. */
  readonly content: string
}

export interface ExecAnswer {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface LineBurst {
  /** Wall clock in ms of the first and the last append. */
  readonly firstMs: number
  readonly lastMs: number
}
