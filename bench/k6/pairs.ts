/**
 * PAIRS pairs of users online over WebSocket (JSON); one of each keeps WINDOW messages of BYTES in
 * flight to the other, who reports them delivered. One virtual user of k6 is one pair, so that both
 * ends of a message read the same clock.
 *
 *   k6 run -e URL=http://127.0.0.1:8080 -e PAIRS=20 -e WINDOW=8 -e SECONDS=10 bench/k6/pairs.ts
 */
import exec from 'k6/execution';
import type { Options } from 'k6/options';
import { setTimeout } from 'k6/timers';
import { makeUsers, webSocketUrl, type Account } from './accounts.ts';
import { Device } from './device.ts';
import { lineOf, TREND_STATS, type Summary } from './figures.ts';
import { count, SECONDS } from './surroundings.ts';

const PAIRS = count('PAIRS', 20);
const WINDOW = count('WINDOW', 8);
const DRAIN_MS = 2000;

export const options: Options = {
  scenarios: {
    pairs: {
      executor: 'per-vu-iterations',
      vus: PAIRS,
      iterations: 1,
      maxDuration: `${SECONDS + 30}s`,
    },
  },
  setupTimeout: '120s',
  summaryTrendStats: TREND_STATS,
};

export interface Prepared {
  readonly url: string;
  readonly users: readonly Account[];
}

export function setup(): Prepared {
  return { url: webSocketUrl(), users: makeUsers(PAIRS * 2) };
}

export default function pair({ url, users }: Prepared): void {
  const first = (exec.vu.idInTest - 1) * 2;
  const [from, to] = [users[first], users[first + 1]];
  if (from === undefined || to === undefined) throw new TypeError('more virtual users than pairs');
  const until = Date.now() + SECONDS * 1000;
  let ready = 0;
  const start = (): void => {
    ready++;
    if (ready === 2) for (let i = 0; i < WINDOW; i++) sender.send(`direct:${to.userId}`);
  };
  const more = (): void => {
    if (Date.now() < until) sender.send(`direct:${to.userId}`);
  };
  const sender = new Device(url, from.accessToken, { ready: start, answered: more });
  const receiver = new Device(url, to.accessToken, { ready: start, answered: () => undefined });
  setTimeout(
    () => {
      sender.close();
      receiver.close();
    },
    SECONDS * 1000 + DRAIN_MS,
  );
}

export function handleSummary(summary: Summary): { stdout: string } {
  return lineOf('pairs', summary);
}
