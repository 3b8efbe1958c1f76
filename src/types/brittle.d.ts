declare module 'brittle' {
  export interface TestOptions {
    readonly timeout?: number
    readonly skip?: boolean
  }

  export interface Test {
    is(actual: unknown, expected: unknown, message?: string): void
    not(actual: unknown, expected: unknown, message?: string): void
    alike(actual: unknown, expected: unknown, message?: string): void
    unlike(actual: unknown, expected: unknown, message?: string): void
    ok(value: unknown, message?: string): void
    absent(value: unknown, message?: string): void
    pass(message?: string): void
    fail(message?: string): void
    plan(count: number): void
    comment(...message: unknown[]): void
    timeout(ms: number): void
    teardown(fn: () => unknown, options?: { readonly order?: number }): void
    exception(
      subject: (() => unknown) | Promise<unknown>,
      expected?: unknown,
      message?: string
    ): Promise<void>
    execution(subject: (() => unknown) | Promise<unknown>, message?: string): Promise<number>
    tmp(): Promise<string>
  }

  export type TestFunction = (t: Test) => unknown

  function test(name: string, fn: TestFunction): Promise<boolean>
  function test(name: string, options: TestOptions, fn: TestFunction): Promise<boolean>
  export default test
}
