/**
 * A bound number of rows, for the end of a statement. SQLite plans by the value of a bare `LIMIT ?`,
 * and therefore compiles the statement anew each time it is bound: 7-30 us against 1.5 us.
 */
export const LIMIT_PARAMETER = 'LIMIT (? + 0)'
