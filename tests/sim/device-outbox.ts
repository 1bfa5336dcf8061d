/**
 * A device's outbox: sends keep their numbers, go in order and several at a time, and are repeated
 * until there is an answer that stands.
 */
import { encodeUuid } from '../../core/ids.ts';
import type { DeviceLine, DeviceParts } from './device-world.ts';
import { contentDigest, count, type Json } from './wire.ts';
import { isFinal } from './device-calls.ts';

interface Pending {
  readonly op: string;
  readonly to: string;
  readonly clientSeq: number;
  after: number;
  readonly clientMessageId: string;
  readonly body: Json;
  readonly done: ((commit: Json | undefined) => void) | undefined;
  frameId: number;
}

interface Lane {
  last: number;
  accepted: number;
  isRetrying: boolean;
}

const RETRY_MS = 60;
const IN_FLIGHT_MAX = 16;

/** Refusals that the random talk of a world may earn. */
export const EARNED_REFUSALS: ReadonlySet<string> = new Set([
  'NOT_A_MEMBER',
  'ROLE_REQUIRED',
  'CONVERSATION_UNKNOWN',
  'CONVERSATION_CLOSED',
  'TARGET_DELETED',
  'MESSAGE_UNKNOWN',
  'EDIT_WINDOW_PASSED',
]);

export class DeviceOutbox {
  readonly #parts: DeviceParts;
  readonly #line: DeviceLine;
  readonly #id: string;
  readonly #pending: Pending[] = [];
  readonly #lanes = new Map<string, Lane>();
  #nextOp = 1;

  constructor(parts: DeviceParts, line: DeviceLine) {
    this.#parts = parts;
    this.#line = line;
    this.#id = encodeUuid(parts.chance.uuid());
  }

  get unanswered(): number {
    return this.#pending.length;
  }

  send(to: string, body: Json, done?: (commit: Json | undefined) => void): string {
    const { name, userId, chance, world } = this.#parts;
    const lane = this.#lane(to);
    const waiting = this.#pending.findLast((one) => one.to === to);
    const clientSeq = (lane.last += chance.is(0.1) ? 2 : 1);
    const op = `${name}/${this.#nextOp++}`;
    const clientMessageId = encodeUuid(chance.uuid());
    const after = waiting?.clientSeq ?? lane.accepted;
    const send = { op, to, clientSeq, after, clientMessageId, body, done, frameId: 0 };
    this.#pending.push(send);
    world.events.push({
      is: 'invoked',
      at: world.nowMs(),
      op,
      user: userId,
      outbox: this.#id,
      clientSeq,
      clientMessageId,
      conversation: world.idOf(to),
      content: contentDigest(body),
    });
    this.#pump(to);
    return op;
  }

  /** A connection: everything that has no answer goes again. */
  ready(): void {
    for (const to of this.#lanes.keys()) this.#pump(to);
  }

  lost(): void {
    for (const send of this.#pending) send.frameId = 0;
    for (const lane of this.#lanes.values()) lane.isRetrying = false;
  }

  committed(frameId: number, commit: Json): void {
    const send = this.#take(frameId);
    if (send === undefined) return;
    const lane = this.#lane(send.to);
    lane.accepted = Math.max(lane.accepted, send.clientSeq);
    const [sequence, timeMs] = [count(commit['sequence']), count(commit['timeMs'])];
    const { world } = this.#parts;
    const at = world.nowMs();
    world.events.push({ is: 'committed', at, op: send.op, sequence, timeMs });
    send.done?.(commit);
    this.#pump(send.to);
  }

  refused(frameId: number, reason: string): void {
    const send = this.#pending.find((one) => one.frameId === frameId);
    if (send === undefined) return;
    if (reason !== 'OUT_OF_ORDER' && isFinal(reason)) return this.#sendRefused(send, reason);
    send.frameId = 0;
    if (reason === 'OUT_OF_ORDER') this.#renumber(send);
    const lane = this.#lane(send.to);
    if (lane.isRetrying) return;
    lane.isRetrying = true;
    this.#parts.scope.after(RETRY_MS, () => {
      lane.isRetrying = false;
      this.#pump(send.to);
    });
  }

  #lane(to: string): Lane {
    let lane = this.#lanes.get(to);
    if (lane === undefined)
      this.#lanes.set(to, (lane = { last: 0, accepted: 0, isRetrying: false }));
    return lane;
  }

  /** Puts on the wire what may be, in order. */
  #pump(to: string): void {
    if (!this.#line.isReady || this.#lane(to).isRetrying) return;
    const sends = this.#pending.filter((send) => send.to === to);
    let inFlight = sends.filter((send) => send.frameId > 0).length;
    for (const send of sends) {
      if (inFlight >= IN_FLIGHT_MAX) return;
      if (send.frameId > 0) continue;
      inFlight++;
      this.#transmit(send);
    }
  }

  #transmit(send: Pending): void {
    const { to, clientSeq, after, clientMessageId, body } = send;
    const outboxId = this.#id;
    send.frameId = this.#line.ask({
      send: { to, outboxId, clientSeq, after, clientMessageId, body },
    });
  }

  #take(frameId: number): Pending | undefined {
    const i = this.#pending.findIndex((send) => send.frameId === frameId);
    return i < 0 ? undefined : this.#pending.splice(i, 1)[0];
  }

  /** `after` anew: whatever stands before it in the outbox, else what was accepted last. */
  #renumber(send: Pending): void {
    const before = this.#pending.findLast(
      (one) => one.to === send.to && one.clientSeq < send.clientSeq,
    );
    send.after = before?.clientSeq ?? this.#lane(send.to).accepted;
  }

  #sendRefused(send: Pending, reason: string): void {
    this.#pending.splice(this.#pending.indexOf(send), 1);
    const { world } = this.#parts;
    world.events.push({ is: 'refused', at: world.nowMs(), op: send.op, reason });
    if (!EARNED_REFUSALS.has(reason)) world.broken(`${send.op} was refused with ${reason}`);
    send.done?.(undefined);
    this.#pump(send.to);
  }
}
