/** What was asked for on the command line cannot be done: told without a stack. */
export class UsageError extends Error {}
