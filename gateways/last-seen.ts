/**
 * When users and their devices were here last (R051), as this gateway sees it: a connection that begins
 * or ends, a request over HTTP. Told to the accounts in batches, for each device at most once a minute
 * but for its leaving. It is a courtesy: what cannot be told is dropped, nothing waits for it.
 *
 * LIMIT: a process that is killed does not tell of connections that it had; they were seen as they began.
 * One that stops tells of them with `settled`.
 */
import type { Clock, Timers } from '../core/clock.ts';
import type { Logger } from '../core/observe.ts';
import type { IdentityPort, Sighting } from './ports.ts';
import type { Caller } from './session/caller.ts';

export const SEEN_BATCH_MS = 1000;
const SEEN_AGAIN_MS = 60_000;
const WAITING_MAX = 10_000;
const REMEMBERED_MAX = 100_000;

export interface LastSeenOptions {
  readonly identity: Pick<IdentityPort, 'recordSeen'>;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Logger;
}

export class LastSeen {
  readonly #options: LastSeenOptions;
  /** By device. */
  readonly #waiting = new Map<string, Sighting>();
  readonly #toldMs = new Map<string, number>();
  #isArmed = false;

  constructor(options: LastSeenOptions) {
    this.#options = options;
  }

  saw(caller: Caller): void {
    const toldMs = this.#toldMs.get(caller.deviceId) ?? -Infinity;
    if (this.#options.clock.monotonicMs() - toldMs >= SEEN_AGAIN_MS) this.#note(caller);
  }

  left(caller: Caller): void {
    this.#note(caller);
  }

  #note({ userId, deviceId }: Caller): void {
    const { clock, timers } = this.#options;
    if (this.#waiting.size >= WAITING_MAX && !this.#waiting.has(deviceId)) return;
    this.#waiting.set(deviceId, { userId, deviceId, timeMs: clock.nowMs() });
    if (this.#toldMs.size >= REMEMBERED_MAX) this.#toldMs.clear();
    this.#toldMs.set(deviceId, clock.monotonicMs());
    if (this.#isArmed) return;
    this.#isArmed = true;
    timers.after(SEEN_BATCH_MS, () => void this.settled());
  }

  /** Tells at once what waits to be told. Never rejects. */
  async settled(): Promise<void> {
    this.#isArmed = false;
    const seen = [...this.#waiting.values()];
    this.#waiting.clear();
    if (seen.length === 0) return;
    await this.#options.identity.recordSeen(seen).catch((cause: unknown) => {
      this.#options.log.debug('who was here could not be told', { cause: String(cause) });
    });
  }
}
