/** What every script counts, and the one JSON line that it ends with: the fields of `npm run bench`. */
import exec from 'k6/execution';
import { Counter, Trend } from 'k6/metrics';
import { SECONDS } from './surroundings.ts';

export const ackMs: Trend = new Trend('parley_ack_ms');
export const endToEndMs: Trend = new Trend('parley_end_to_end_ms');
export const sends: Counter = new Counter('parley_sends');
export const deliveries: Counter = new Counter('parley_deliveries');
export const duplicates: Counter = new Counter('parley_duplicates');
export const disorder: Counter = new Counter('parley_disorder');
const refusals = new Counter('parley_refusals');

/**
 * A refused send breaks the pipeline behind it, and the figures with it: the run ends here. Limits per
 * connection are for people; a server under load is started with higher ones (README.md).
 */
export function refused(reason: string): void {
  refusals.add(1, { reason });
  exec.test.abort(`a send was refused: ${reason}`);
}

export const TREND_STATS: string[] = ['p(50)', 'p(99)', 'p(99.9)'];

/** The part of k6's end-of-test data that is read here. */
export interface Summary {
  readonly metrics: Readonly<Record<string, { readonly values: Readonly<Record<string, number>> }>>;
}

export function lineOf(scenario: string, summary: Summary): { stdout: string } {
  const value = (metric: string, field: string): number =>
    summary.metrics[metric]?.values[field] ?? 0;
  const trend = (metric: string): object => ({
    p50: value(metric, 'p(50)'),
    p99: value(metric, 'p(99)'),
    p999: value(metric, 'p(99.9)'),
  });
  const line = {
    scenario: `k6 ${scenario}`,
    durability: 'synced before commit',
    seconds: SECONDS,
    sendsPerSecond: Math.round(value('parley_sends', 'count') / SECONDS),
    deliveriesPerSecond: Math.round(value('parley_deliveries', 'count') / SECONDS),
    ackMs: trend('parley_ack_ms'),
    endToEndMs: trend('parley_end_to_end_ms'),
    duplicates: value('parley_duplicates', 'count'),
    disorder: value('parley_disorder', 'count'),
    refusals: value('parley_refusals', 'count'),
  };
  return { stdout: `${JSON.stringify(line)}\n` };
}
