import type { WireError } from '../src/contract.ts';
import type { OutboxEntry } from '../src/outbox-entry.ts';
import type { OutboxEffect, OutboxEvent } from '../src/outbox-events.ts';
import { OutboxMachine } from '../src/outbox-machine.ts';

/** Drives a machine by hand; what it stores is durable only when the script says so. */
export class OutboxScript {
  readonly machine: OutboxMachine = new OutboxMachine();
  nowMs: number = 1_000_000_000;
  monotonicMs: number = 0;
  readonly transmitted: OutboxEntry[] = [];
  readonly recovers: string[] = [];
  readonly settled: string[] = [];
  #toNumber: string[] = [];
  readonly #asked = new Map<string, readonly string[]>();
  #ordinal = 0;

  constructor(outboxId = 'box-1') {
    this.step({ is: 'loaded', outboxId, isNew: true, entries: [], lanes: [] });
  }

  step(event: OutboxEvent): readonly OutboxEffect[] {
    const effects = this.machine.step(event, {
      nowMs: this.nowMs,
      monotonicMs: this.monotonicMs,
      chance: 0.5,
    });
    for (const effect of effects) {
      if (effect.is === 'store') this.#toNumber.push(...effect.numbered);
      if (effect.is === 'transmit') this.transmitted.push(...effect.entries);
      if (effect.is === 'recover') {
        this.recovers.push(effect.conversationId);
        this.#asked.set(effect.conversationId, effect.keys);
      }
      if (effect.is === 'settled') this.settled.push(effect.settled.entry.key);
    }
    return effects;
  }

  write(key: string, more: Partial<OutboxEntry> = {}): void {
    this.step({
      is: 'added',
      entry: {
        ordinal: ++this.#ordinal,
        key,
        conversationId: 'cnv',
        to: 'cnv',
        action: { is: 'message', content: { text: { body: key } } },
        queuedTimeMs: this.nowMs,
        ...more,
      },
    });
  }

  send(key: string, more: Partial<OutboxEntry> = {}): void {
    this.write(key, more);
    this.step({ is: 'saved', key });
    this.store();
  }

  /** What was to be stored is. */
  store(): void {
    while (this.#toNumber.length > 0) {
      const keys = this.#toNumber;
      this.#toNumber = [];
      this.step({ is: 'numbered', keys });
    }
  }

  live(): void {
    this.step({ is: 'live', isLive: true });
    this.store();
  }

  lost(): void {
    this.step({ is: 'live', isLive: false });
  }

  commit(key: string, sequence: number): void {
    this.step({ is: 'committed', key, commit: { conversationId: 'cnv', sequence } });
    this.store();
  }

  refuse(key: string, error: WireError): void {
    this.step({ is: 'refused', key, error });
    this.store();
  }

  /** What was last to be compared there. */
  asked(conversationId: string): readonly string[] {
    return this.#asked.get(conversationId) ?? [];
  }

  /** That is compared: what is there `appeared` before. */
  recovered(conversationId: string, freshOutboxId: string): void {
    const keys = this.asked(conversationId);
    this.step({ is: 'recovered', conversationId, keys, freshOutboxId });
    this.store();
  }

  hidden(conversationId: string, reason: 'NOT_A_MEMBER' | 'COMMIT_UNKNOWN'): void {
    const keys = this.asked(conversationId);
    this.step({ is: 'hidden', conversationId, keys, reason, freshOutboxId: 'box-hidden' });
    this.store();
  }

  pass(ms: number): void {
    this.nowMs += ms;
    this.monotonicMs += ms;
    this.step({ is: 'tick' });
    this.store();
  }

  /** Numbers as they went out since last asked. */
  sent(): string[] {
    return this.transmitted
      .splice(0)
      .map((entry) => `${entry.key}:${entry.number?.clientSeq}<${entry.number?.after}`);
  }
}
