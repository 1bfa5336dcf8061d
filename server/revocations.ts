/**
 * Sessions that were signed out, on their way to everybody who must know (DESIGN §5): gateways refuse
 * their tokens and end their connections, account logs hold them. A revocation is its row until all
 * have been told: what fails is told again at the next sweep, and repeats are harmless.
 */
import { toParleyError } from '../core/errors.ts';
import type { SessionId } from '../core/ids.ts';
import type { Logger } from '../core/observe.ts';
import type { Revocation } from '../services/identity/contract.ts';

export interface RevocationParts {
  /** Revoked and not yet announced, oldest first. */
  readonly pending: (limit: number) => Promise<readonly Revocation[]>;
  readonly markAnnounced: (sessionIds: readonly SessionId[]) => Promise<void>;
  /** Gateways refuse the tokens and end the connections. */
  readonly refuse: (revocations: readonly Revocation[]) => Promise<void>;
  /** False = the account log does not hold it, as far as is known. */
  readonly append: (revocation: Revocation) => Promise<boolean>;
  readonly log: Logger;
}

const PER_SWEEP_MAX = 500;

export class Revocations {
  readonly #parts: RevocationParts;
  #sweeping: Promise<void> | undefined;
  /** Something was revoked since the sweep under way looked. */
  #isWanted = false;
  #isStopped = false;

  constructor(parts: RevocationParts) {
    this.#parts = parts;
  }

  /** Their rows are durable. Never throws: who signs out has been signed out. */
  ended(revocations: readonly Revocation[]): void {
    this.#parts.refuse(revocations).catch((error: unknown) => this.#failed(error));
    this.sweep();
  }

  /** Tells what may not have been told. One at a time; call it now and then. Never throws. */
  sweep(): void {
    this.#isWanted = true;
    if (this.#isStopped || this.#sweeping !== undefined) return;
    this.#sweeping = this.#run()
      .catch((error: unknown) => this.#failed(error))
      .finally(() => {
        this.#sweeping = undefined;
      });
  }

  /** Starts nothing new and waits for what runs. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#sweeping;
  }

  async #run(): Promise<void> {
    const { pending, markAnnounced, refuse, append } = this.#parts;
    while (this.#isWanted && !this.#isStopped) {
      this.#isWanted = false;
      const found = await pending(PER_SWEEP_MAX);
      if (found.length === 0) continue;
      await refuse(found);
      const held = await Promise.all(found.map(append));
      await markAnnounced(found.filter((_, i) => held[i]).map(({ sessionId }) => sessionId));
      // Behind a full page there may be another; one of which nothing could be told waits.
      if (found.length === PER_SWEEP_MAX && held.includes(true)) this.#isWanted = true;
    }
  }

  #failed(error: unknown): void {
    const { reason } = toParleyError(error);
    this.#parts.log.warn('ended sessions could not be told of; they will be', { reason });
  }
}
