/**
 * One group of MEMBERS, all online over WebSocket (JSON) and looking at it; one of them writes RATE
 * messages of BYTES a second, an open loop. A virtual user of k6 holds members until all are held.
 *
 *   k6 run -e URL=http://127.0.0.1:8080 -e MEMBERS=100 -e RATE=50 -e SECONDS=10 bench/k6/group.ts
 */
import exec from 'k6/execution';
import type { Options } from 'k6/options';
import { clearInterval, setInterval, setTimeout } from 'k6/timers';
import { makeGroup, makeUsers, webSocketUrl, type Account } from './accounts.ts';
import { Device } from './device.ts';
import { lineOf, TREND_STATS, type Summary } from './figures.ts';
import { count, SECONDS } from './surroundings.ts';

const MEMBERS = count('MEMBERS', 100);
const RATE = count('RATE', 50);
const HOLDERS = Math.min(count('HOLDERS', 10), MEMBERS);
/** Everybody is online before the first message. */
const SETTLE_MS = 3000;
const DRAIN_MS = 2000;

export const options: Options = {
  scenarios: {
    group: {
      executor: 'per-vu-iterations',
      vus: HOLDERS,
      iterations: 1,
      maxDuration: `${SECONDS + 60}s`,
    },
  },
  setupTimeout: '300s',
  summaryTrendStats: TREND_STATS,
};

export interface Prepared {
  readonly url: string;
  readonly users: readonly Account[];
  readonly conversation: string;
}

export function setup(): Prepared {
  const users = makeUsers(MEMBERS);
  return { url: webSocketUrl(), users, conversation: makeGroup(users) };
}

export default function members({ url, users, conversation }: Prepared): void {
  const holder = exec.vu.idInTest - 1;
  const devices = users
    .filter((_, i) => i % HOLDERS === holder)
    .map((user) => {
      const device: Device = new Device(url, user.accessToken, {
        ready: () => device.focus(conversation),
        answered: () => undefined,
      });
      return device;
    });
  const [writer] = devices;
  if (holder === 0 && writer !== undefined) writeFor(writer, conversation);
  setTimeout(
    () => {
      for (const device of devices) device.close();
    },
    SETTLE_MS + SECONDS * 1000 + DRAIN_MS,
  );
}

function writeFor(writer: Device, conversation: string): void {
  setTimeout(() => {
    const timer = setInterval(() => writer.send(conversation), 1000 / RATE);
    setTimeout(() => clearInterval(timer), SECONDS * 1000);
  }, SETTLE_MS);
}

export function handleSummary(summary: Summary): { stdout: string } {
  return lineOf('group', summary);
}
