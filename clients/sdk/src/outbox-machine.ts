/**
 * The outbox as a pure state machine (S4-S6): events in, effects out, no clock, no storage, no
 * network. Whoever drives it performs the effects in order and reports back. Three rules carry it:
 * nothing is transmitted before its number is durable, a number's content never changes, and what an
 * earlier run left is compared with the conversation before it goes (decision 0015).
 */
import type { Key, SendState } from './client-interface.ts';
import type { ConversationId, WireError } from './contract.ts';
import { isForLater, knownReason, mayStillSucceed } from './errors.ts';
import {
  kept,
  type OutboxEntry,
  type Place,
  placeOf,
  removal,
  resolved,
  type SendNumber,
  stateOf,
  unnumbered,
  waitsFor,
} from './outbox-entry.ts';
import type { Moment, OutboxEffect, OutboxEvent } from './outbox-events.ts';
import {
  ANSWER_MS_MAX,
  backoffMs,
  type Held,
  isCancellable,
  OutboxLane,
  QUEUED_MS_MAX,
  type Room,
  roomOf,
} from './outbox-lane.ts';
import { REASONS, type Reason } from './reasons.ts';
import type { OwnTable, StorePut } from './stores/store-port.ts';

export const ENTRIES_MAX = 10_000;
const WAIT_DEFAULT_MS = 1_000;

export class OutboxMachine {
  readonly #byKey = new Map<Key, Held>();
  readonly #lanes = new Map<ConversationId, OutboxLane>();
  /** May have something to send or to compare; who found no room stays, in the order of coming. */
  readonly #ready = new Set<OutboxLane>();
  #outboxId = '';
  /** Made in this run. */
  #isNew = false;
  #isLive = false;
  #effects: OutboxEffect[] = [];

  step(event: OutboxEvent, moment: Moment): readonly OutboxEffect[] {
    this.#effects = [];
    const touched = this.#take(event, moment);
    if (touched === 'all') for (const lane of this.#lanes.values()) this.#ready.add(lane);
    else if (touched !== undefined) this.#ready.add(touched);
    if (touched !== undefined) this.#serve(moment);
    return this.#effects;
  }

  get size(): number {
    return this.#byKey.size;
  }

  get outboxId(): string {
    return this.#outboxId;
  }

  entry(key: Key): OutboxEntry | undefined {
    return this.#byKey.get(key)?.entry;
  }

  stateOf(key: Key): SendState | undefined {
    const held = this.#byKey.get(key);
    return held === undefined ? undefined : stateOf(held.entry, held.step);
  }

  /** In the order of writing. */
  entriesOf(conversationId: ConversationId): readonly OutboxEntry[] {
    return this.#lanes.get(conversationId)?.held.map((each) => each.entry) ?? [];
  }

  conversations(): readonly ConversationId[] {
    return [...this.#lanes.values()]
      .filter((lane) => lane.held.length > 0)
      .map((l) => l.conversationId);
  }

  /** Monotonic time at which `tick` may find something to do; undefined = nothing waits for time. */
  nextTickMs(moment: Moment): number | undefined {
    let next = Number.POSITIVE_INFINITY;
    for (const lane of this.#lanes.values())
      next = Math.min(next, lane.nextTickMs(moment, this.#isLive));
    return Number.isFinite(next) ? next : undefined;
  }

  #take(event: OutboxEvent, moment: Moment): OutboxLane | 'all' | undefined {
    switch (event.is) {
      case 'loaded':
        return this.#load(event);
      case 'added':
        return this.#add(event.entry);
      case 'saved':
        return this.#saved(event.key);
      case 'numbered':
        return this.#numbered(event.keys, moment);
      case 'live':
        return this.#live(event.isLive);
      case 'held': {
        const lane = this.#lane(event.conversationId);
        lane.isHeld = event.isHeld;
        return lane;
      }
      case 'committed':
        if (event.commit.replayed !== true) this.#proved(event.key);
        return this.#settle(
          event.key,
          placeOf(event.commit, moment),
          this.entry(event.key)?.number,
        );
      case 'appeared':
        return this.#appeared(event);
      case 'cached':
        return this.#cached(event.entry);
      case 'refused':
        return this.#refused(event, moment);
      case 'retry':
        return this.#retry(event.key, moment);
      case 'cancel':
        return this.#cancel(event.key);
      case 'recovered':
        return this.#recovered(event);
      case 'hidden':
        return this.#hidden(event);
      case 'unrecovered':
        return this.#unrecovered(event, moment);
      case 'listed':
        return this.#listed();
      case 'tick':
        return this.#tick(moment);
    }
  }

  #load(event: Extract<OutboxEvent, { is: 'loaded' }>): 'all' {
    this.#outboxId = event.outboxId;
    this.#isNew = event.isNew;
    // A lane of a former outbox starts anew; its numbered entries keep what they carry.
    for (const lane of event.lanes)
      if (lane.outboxId === event.outboxId)
        this.#lanes.set(lane.conversationId, new OutboxLane(lane, event.isNew));
    for (const entry of event.entries) {
      this.#hold(entry, 'queued', 'loaded');
      // What settled an older send may have written the lane as it was before this one's number.
      if (entry.number !== undefined) this.#lane(entry.conversationId).taken(entry.number);
    }
    // What they follow was given up just before that run ended.
    for (const held of this.#byKey.values())
      if (held.entry.failed === undefined && this.#isOrphan(held.entry))
        this.#fail(held, 'CANCELED', false);
    return 'all';
  }

  #add(entry: OutboxEntry): undefined {
    this.#hold(entry, 'saving', 'none');
  }

  #saved(key: Key): OutboxLane | undefined {
    const held = this.#byKey.get(key);
    if (held?.step !== 'saving') return undefined;
    this.#toStep(held, 'queued');
    return this.#lane(held.entry.conversationId);
  }

  #numbered(keys: readonly Key[], moment: Moment): undefined {
    const going: OutboxEntry[] = [];
    for (const key of keys) {
      const held = this.#byKey.get(key);
      // Cancelled or settled while its number was stored; or the connection went.
      if (held?.step !== 'numbering') continue;
      if (!this.#isLive) {
        this.#toStep(held, 'queued');
        continue;
      }
      held.sentAtMs = moment.monotonicMs;
      held.hasLeft = true;
      this.#toStep(held, 'in-flight');
      going.push(held.entry);
    }
    if (going.length > 0) this.#effects.push({ is: 'transmit', entries: going });
  }

  #live(isLive: boolean): 'all' | undefined {
    this.#isLive = isLive;
    if (isLive) {
      for (const lane of this.#lanes.values()) {
        lane.notBeforeMs = 0;
        lane.recoveryTries = 0;
      }
      return 'all';
    }
    // What was in flight has an unknown outcome now: the same goes again, oldest first.
    for (const held of this.#byKey.values())
      if (held.step === 'in-flight') this.#toStep(held, 'queued');
    for (const lane of this.#lanes.values()) {
      lane.isSettling = false;
      lane.isRecovering = false;
    }
    return undefined;
  }

  #appeared(event: Extract<OutboxEvent, { is: 'appeared' }>): OutboxLane | undefined {
    const { key, sequence, timeMs, outboxId, clientSeq } = event;
    const held = this.#byKey.get(key);
    if (held === undefined) return undefined;
    const number = outboxId && clientSeq ? { outboxId, clientSeq } : held.entry.number;
    return this.#settle(key, { sequence, timeMs, queued: 0 }, number);
  }

  /** The server had not seen this number, so none above it either. */
  #proved(key: Key): void {
    const entry = this.#byKey.get(key)?.entry;
    if (entry?.number === undefined) return;
    const lane = this.#lane(entry.conversationId);
    if (entry.number.outboxId === lane.lane.outboxId) lane.isProven = true;
  }

  #settle(
    key: Key,
    at: Place,
    number: Pick<SendNumber, 'outboxId' | 'clientSeq'> | undefined,
  ): OutboxLane | undefined {
    const held = this.#byKey.get(key);
    if (held === undefined) return undefined;
    const lane = this.#lane(held.entry.conversationId);
    if (number !== undefined) lane.accepted(number);
    this.#drop(held, lane);
    const puts: StorePut<OwnTable>[] = [];
    for (const other of lane.held) {
      if (!waitsFor(other.entry).includes(key)) continue;
      other.entry = resolved(other.entry, key, at.sequence);
      puts.push(kept(other.entry));
    }
    // At once: written behind the cache it would take from them the numbers they get meanwhile.
    if (puts.length > 0) this.#effects.push({ is: 'store', puts, numbered: [] });
    this.#effects.push({ is: 'settled', settled: { entry: held.entry, ...at } });
    return lane;
  }

  /** The lane as it is by now: later sends may have taken numbers since. */
  #cached(entry: OutboxEntry): undefined {
    const puts = [removal(entry), this.#lane(entry.conversationId).put()];
    this.#effects.push({ is: 'store', puts, numbered: [] });
  }

  #refused(event: Extract<OutboxEvent, { is: 'refused' }>, moment: Moment): OutboxLane | undefined {
    const held = this.#byKey.get(event.key);
    if (held?.step !== 'in-flight') return undefined;
    const lane = this.#lane(held.entry.conversationId);
    const reason = knownReason(event.error.reason);
    if (reason === 'OUT_OF_ORDER') this.#outOfOrder(held, lane, event.error);
    else if (reason === 'IDEMPOTENCY_CONFLICT' || reason === 'TOO_OLD') {
      // Compared, it goes under another number: that this is refused as well is a loop to slow down.
      if (held.tries > 0) lane.waitUntil(moment.monotonicMs + backoffMs(held.tries, moment));
      held.tries += 1;
      held.doubt = 'refused';
      this.#toStep(held, 'queued');
    } else if (isForLater(reason)) this.#later(held, lane, { event, reason, moment });
    else this.#fail(held, reason, mayStillSucceed(reason));
    return lane;
  }

  #outOfOrder(held: Held, lane: OutboxLane, error: WireError): void {
    const number = held.entry.number;
    const lastAccepted = Number(error.metadata?.['lastAccepted'] ?? Number.NaN);
    if (number !== undefined && Number.isSafeInteger(lastAccepted)) {
      lane.correct(number.outboxId, lastAccepted);
      const isSpent = lastAccepted >= number.clientSeq;
      // What nobody compared may stand under a later number.
      if (isSpent && held.doubt === 'unread') held.doubt = 'refused';
      // Below an accepted number and unused: it can never be accepted, so a new one is safe.
      else if (isSpent) held.entry = unnumbered(held.entry);
    }
    lane.isSettling = true;
    this.#toStep(held, 'queued');
  }

  #later(
    held: Held,
    lane: OutboxLane,
    o: { event: { readonly error: WireError }; reason: Reason; moment: Moment },
  ): void {
    const asksToWait = REASONS[o.reason].retry === 'wait';
    const waitMs = asksToWait ? WAIT_DEFAULT_MS : backoffMs(held.tries, o.moment);
    held.tries += 1;
    lane.waitUntil(o.moment.monotonicMs + Math.max(o.event.error.retryAfterMs ?? 0, waitMs));
    lane.isSettling = true;
    this.#toStep(held, 'queued');
  }

  #fail(held: Held, reason: Reason, retryable: boolean): void {
    // A refusal is final and its number is skipped; after 24 h the outcome may still be unknown.
    const entry = reason === 'DEADLINE' ? held.entry : unnumbered(held.entry);
    // Its number has spoken; whether it stands under another is still not known.
    if (held.doubt === 'unread' && entry.number === undefined) held.doubt = 'loaded';
    this.#failAs(held, { ...entry, failed: { reason, retryable } }, reason);
  }

  #failAs(held: Held, entry: OutboxEntry, reason: Reason): void {
    held.entry = entry;
    this.#toStep(held, 'queued');
    this.#effects.push({ is: 'store', puts: [kept(entry)], numbered: [] });
    this.#effects.push({ is: 'failed', entry, reason });
  }

  #retry(key: Key, moment: Moment): OutboxLane | undefined {
    const held = this.#byKey.get(key);
    if (held?.entry.failed === undefined || this.#isOrphan(held.entry)) return undefined;
    const { failed: _failed, ...entry } = held.entry;
    held.entry = { ...entry, queuedTimeMs: moment.nowMs };
    held.tries = 0;
    this.#effects.push({ is: 'store', puts: [kept(held.entry)], numbered: [] });
    this.#toStep(held, 'queued');
    return this.#lane(entry.conversationId);
  }

  #cancel(key: Key): OutboxLane | undefined {
    const held = this.#byKey.get(key);
    if (held === undefined || !isCancellable(held)) return undefined;
    const lane = this.#lane(held.entry.conversationId);
    this.#drop(held, lane);
    this.#effects.push({ is: 'store', puts: [removal(held.entry)], numbered: [] });
    this.#effects.push({ is: 'cancelled', entry: held.entry });
    // What was to follow it never can.
    for (const other of [...lane.held])
      if (waitsFor(other.entry).includes(key)) this.#fail(other, 'CANCELED', false);
    return lane;
  }

  #recovered(event: Extract<OutboxEvent, { is: 'recovered' }>): 'all' | undefined {
    const lane = this.#lane(event.conversationId);
    if (!lane.isRecovering) return undefined;
    lane.recoveryIsOver();
    const asked = this.#heldOf(event.keys);
    this.#leaveNumbers(lane, asked, event.freshOutboxId);
    for (const each of asked) each.doubt = 'none';
    return 'all';
  }

  /** Some of what may hold them cannot be read. */
  #hidden(event: Extract<OutboxEvent, { is: 'hidden' }>): 'all' | undefined {
    const lane = this.#lane(event.conversationId);
    if (!lane.isRecovering) return undefined;
    lane.recoveryIsOver();
    const asked = this.#heldOf(event.keys).filter(({ entry }) => entry.failed === undefined);
    const refused = this.#leaveNumbers(lane, asked, event.freshOutboxId);
    for (const held of asked) {
      // The server still answers for its number, whatever became of the membership.
      const asksItself = held.entry.number !== undefined && !refused.includes(held);
      if (asksItself) {
        held.doubt = 'unread';
        continue;
      }
      // Never sent as far as this database knows, so who may not read may not send it: compared again
      // if that changes. Else nobody can say, and to try again is its writer's decision.
      const reason = refused.includes(held) ? 'COMMIT_UNKNOWN' : event.reason;
      held.doubt = reason === 'NOT_A_MEMBER' ? 'loaded' : 'none';
      this.#failAs(held, { ...held.entry, failed: { reason, retryable: true } }, reason);
    }
    return 'all';
  }

  /** Numbers that are another's are left, and with those of the present outbox the outbox. */
  #leaveNumbers(lane: OutboxLane, asked: readonly Held[], freshOutboxId: string): readonly Held[] {
    const refused = asked.filter((each) => each.doubt === 'refused');
    if (refused.length === 0) return refused;
    // The first conversation to meet it renews the outbox; others only leave the former one.
    if (refused.some(({ entry }) => entry.number?.outboxId === this.#outboxId)) {
      this.#outboxId = freshOutboxId;
      this.#isNew = true;
      for (const each of this.#lanes.values()) each.renew(freshOutboxId);
    }
    for (const each of refused) each.entry = unnumbered(each.entry);
    const puts: StorePut<OwnTable>[] = [
      { table: 'meta', key: ['outbox'], value: { outboxId: this.#outboxId } },
      lane.put(),
      ...refused.map(({ entry }) => kept(entry)),
    ];
    this.#effects.push({ is: 'store', puts, numbered: [] });
    return refused;
  }

  #unrecovered(
    event: Extract<OutboxEvent, { is: 'unrecovered' }>,
    moment: Moment,
  ): 'all' | undefined {
    const lane = this.#lane(event.conversationId);
    // Else the connection went, and the next one asks again without waiting.
    if (!lane.isRecovering) return undefined;
    lane.isRecovering = false;
    const waitMs = Math.max(event.retryAfterMs, backoffMs(lane.recoveryTries, moment));
    lane.recoveryTries += 1;
    lane.notBeforeMs = moment.monotonicMs + waitMs;
    return 'all';
  }

  /** What could not be compared because its conversation was not known is tried again at once. */
  #listed(): 'all' {
    for (const lane of this.#lanes.values()) {
      if (lane.recoveryTries > 0) lane.notBeforeMs = 0;
      lane.recoveryTries = 0;
    }
    return 'all';
  }

  #tick(moment: Moment): 'all' {
    for (const lane of this.#lanes.values())
      if (lane.notBeforeMs <= moment.monotonicMs) lane.notBeforeMs = 0;
    for (const held of this.#byKey.values()) {
      if (held.entry.failed !== undefined) continue;
      const isUnanswered = held.step === 'in-flight';
      if (isUnanswered && moment.monotonicMs - held.sentAtMs >= ANSWER_MS_MAX)
        this.#toStep(held, 'queued');
      const isOverdue = moment.nowMs - held.entry.queuedTimeMs >= QUEUED_MS_MAX;
      if (isOverdue && held.step === 'queued') this.#fail(held, 'DEADLINE', true);
    }
    return 'all';
  }

  #serve(moment: Moment): void {
    const lanes = [...this.#ready];
    this.#ready.clear();
    // `live` makes all of them ready.
    if (!this.#isLive) return;
    const room = roomOf(this.#lanes.values());
    for (const lane of lanes) if (!this.#pump(lane, room, moment)) this.#ready.add(lane);
  }

  /** Whether there was room. Who has something in flight is ready again once that is answered. */
  #pump(lane: OutboxLane, room: Room, moment: Moment): boolean {
    if (lane.isHeld) return true;
    if (lane.doubtful.length > 0) return this.#recover(lane, room, moment);
    if (room.sends <= 0) return lane.held.every(({ step }) => step !== 'queued');
    const picked = lane.pick(room.sends, moment.monotonicMs);
    if (picked.length === 0) return true;
    room.sends -= picked.length;
    this.#effects.push({
      is: 'store',
      puts: [...picked.map((each) => kept(each.entry)), lane.put()],
      numbered: picked.map((each) => each.entry.key),
    });
    return true;
  }

  /** Once everything in flight is answered. */
  #recover(lane: OutboxLane, room: Room, moment: Moment): boolean {
    if (lane.isRecovering || lane.inFlightCount > 0 || moment.monotonicMs < lane.notBeforeMs)
      return true;
    if (room.recoveries <= 0) return false;
    room.recoveries -= 1;
    lane.isRecovering = true;
    const { conversationId } = lane;
    const keys = lane.doubtful.map(({ entry }) => entry.key);
    this.#effects.push({ is: 'recover', conversationId, keys });
    return true;
  }

  #hold(entry: OutboxEntry, step: 'saving' | 'queued', doubt: Held['doubt']): void {
    const hasLeft = entry.number !== undefined;
    const held: Held = { entry, step, sentAtMs: 0, hasLeft, tries: 0, doubt };
    this.#byKey.set(entry.key, held);
    this.#lane(entry.conversationId).held.push(held);
  }

  /** It follows what will never be sent. */
  #isOrphan(entry: OutboxEntry): boolean {
    return waitsFor(entry).some((key) => !this.#byKey.has(key));
  }

  #heldOf(keys: readonly Key[]): Held[] {
    return keys.flatMap((key) => this.#byKey.get(key) ?? []);
  }

  #drop(held: Held, lane: OutboxLane): void {
    this.#byKey.delete(held.entry.key);
    lane.held.splice(lane.held.indexOf(held), 1);
  }

  #toStep(held: Held, step: 'queued' | 'in-flight'): void {
    held.step = step;
    this.#effects.push({ is: 'state', entry: held.entry, state: stateOf(held.entry, step) });
  }

  #lane(conversationId: ConversationId): OutboxLane {
    let lane = this.#lanes.get(conversationId);
    if (lane === undefined) {
      const first = { conversationId, outboxId: this.#outboxId, next: 1, lastAccepted: 0 };
      lane = new OutboxLane(first, this.#isNew);
      this.#lanes.set(conversationId, lane);
    }
    return lane;
  }
}
