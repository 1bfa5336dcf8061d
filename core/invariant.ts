/**
 * Broken invariants. Nobody catches an InvariantViolation: in consensus and in the WAL the process
 * reports and exits; in `apply` the shard stops. Operating errors are ParleyError (errors.ts).
 */
export class InvariantViolation extends Error {
  readonly rule: string;
  constructor(rule: string, detail: string) {
    super(detail === '' ? rule : `${rule}: ${detail}`);
    this.name = 'InvariantViolation';
    this.rule = rule;
  }
}

/** Values that may stand beside a broken rule. Never payloads, tokens or names of people. */
export type InvariantDetail = Readonly<Record<string, number | string | boolean | bigint>>;

/**
 * States what must be. `rule` is a stable dotted name (`log.committed-never-regresses`).
 * On hot paths pass the detail as a thunk: it runs only when the rule is broken.
 */
export function invariant(
  condition: boolean,
  rule: string,
  detail?: InvariantDetail | (() => InvariantDetail),
): asserts condition {
  if (condition) return;
  const shown = typeof detail === 'function' ? detail() : detail;
  throw new InvariantViolation(rule, shown === undefined ? '' : describe(shown));
}

/** For switch statements whose cases are meant to be exhaustive. */
export function unreachable(rule: string, value: never): never {
  throw new InvariantViolation(rule, String(value));
}

function describe(detail: InvariantDetail): string {
  return Object.entries(detail)
    .map(([name, value]) => `${name}=${String(value)}`)
    .join(' ');
}
