/**
 * Drives OutboxMachine: stores what it says before it transmits what it says, hands commits to the
 * sync (the message into the cache), then lets the entry go. Also the refs that senders hold.
 */
import type { Accepted, Key, MessageRef, SendState } from './client-interface.ts';
import type { Body, Commit, ConversationId, Message, ServerFrame } from './contract.ts';
import { ClientError, isRefusedForGood, reasonOf, retryAfterMsOf } from './errors.ts';
import type { HostPort } from './host.ts';
import { newUuid } from './ids.ts';
import { bodyOf, type Lane, type OutboxEntry, waitsFor } from './outbox-entry.ts';
import type { Moment, OutboxEffect, OutboxEvent, SettledSend } from './outbox-events.ts';
import { ENTRIES_MAX, OutboxMachine } from './outbox-machine.ts';
import type { Reason } from './reasons.ts';
import type { SavedStore } from './saved-store.ts';
import { Cell, isShallowEqual } from './store.ts';
import { type OwnTable, type StorePut, under } from './stores/store-port.ts';

/** Bodies of own sends just settled, for the stubs that follow them. */
const RECENT_MAX = 512;

/** An accepted send and the state its sender watches, which receipts move on. */
export interface SettledRef extends SettledSend {
  readonly ref: MessageRef;
  readonly state: Cell<SendState>;
  /** The cache has what is known of it. */
  isCached: boolean;
}

export interface OutboxHooks {
  readonly request: (
    entries: readonly OutboxEntry[],
    answered: (entry: OutboxEntry, frame: ServerFrame | undefined) => void,
  ) => void;
  me(): { readonly userId: string; readonly deviceId: string };
  /** Puts the message into the cache; `done` once it is stored. */
  committed(settled: SettledSend, message: Message | undefined, done: () => void): void;
  /** A settled send is in the cache, as far as its message can be. */
  cached(conversationId: ConversationId): void;
  failed(entry: OutboxEntry, reason: Reason): void;
  /** Rows or states of this conversation's own messages changed. */
  changed(conversationId: ConversationId, settled?: SettledRef): void;
  /** Reads what may hold these: they settle by key. False = some of it may not be read. */
  recover(conversationId: ConversationId, keys: readonly Key[]): Promise<boolean>;
}

export class Outbox {
  readonly machine: OutboxMachine = new OutboxMachine();
  readonly #store: SavedStore;
  readonly #host: HostPort;
  readonly #hooks: OutboxHooks;
  readonly #refs: Map<Key, SendRef>;
  readonly #recent = new Map<Key, Body>();
  #nextOrdinal = 1;
  #cancelTimer: (() => void) | undefined;
  /** Until it is loaded, and once it is over: what is stored is not known then, or not its own. */
  #isStopped = true;
  readonly #writes = new Set<Promise<void>>();
  /** Being compared with what the server has. */
  readonly #recovering = new Set<ConversationId>();

  /** `former`: of the life before. What is still to be sent keeps the refs that senders hold. */
  constructor(o: {
    store: SavedStore;
    host: HostPort;
    hooks: OutboxHooks;
    former: Outbox | undefined;
  }) {
    this.#refs = new Map(o.former === undefined ? [] : o.former.#refs);
    this.#store = o.store;
    this.#host = o.host;
    this.#hooks = o.hooks;
  }

  /** Reads what waits; a database without an outbox id is a new outbox. */
  async load(): Promise<void> {
    const entries = (await this.#store.readOwn('outbox', under())).map(
      (pair) => pair.value as OutboxEntry,
    );
    const lanes = (await this.#store.readOwn('lanes', under())).map((pair) => pair.value as Lane);
    const [meta] = await this.#store.readOwn('meta', under('outbox'));
    let outboxId = (meta?.value as { outboxId?: string } | undefined)?.outboxId;
    const isNew = outboxId === undefined;
    if (outboxId === undefined) {
      outboxId = newUuid((count) => this.#host.randomBytes(count));
      const put = { table: 'meta' as const, key: ['outbox'], value: { outboxId } };
      await this.#store.writeOwn([put]).catch((error: unknown) => {
        // FENCED: whoever follows transmits nothing.
        if (reasonOf(error) !== 'FENCED') throw error;
      });
    }
    this.#nextOrdinal = Math.max(0, ...entries.map((entry) => entry.ordinal)) + 1;
    this.#adoptRefs(entries);
    this.#isStopped = false;
    this.#step({ is: 'loaded', outboxId, isNew, entries, lanes });
    for (const entry of entries) this.#show(entry.key);
  }

  #adoptRefs(entries: readonly OutboxEntry[]): void {
    const former = new Map(this.#refs);
    this.#refs.clear();
    for (const entry of entries) {
      const ref = former.get(entry.key) ?? new SendRef(entry.key);
      ref.held(this.#actsOn(entry.key), entry.failed?.reason);
      this.#refs.set(entry.key, ref);
      former.delete(entry.key);
    }
    // Another owner sent it, or cancelled it, or it was never stored: nothing here tells which.
    for (const ref of former.values()) ref.gone();
  }

  /** Everything written so far is on the device, or has failed to be. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    await Promise.all(this.#writes);
  }

  /** S4: the entry and whatever gives it its text are one transaction. Nothing is given if it is refused. */
  add(
    entry: Omit<OutboxEntry, 'ordinal' | 'queuedTimeMs'>,
    alongside: () => readonly StorePut<OwnTable>[],
  ): MessageRef {
    // Its number could be that of an entry which waits on the device, and would be written over it.
    if (this.#isStopped) throw new ClientError('TOKEN_INVALID', 'start the client first');
    if (this.machine.size >= ENTRIES_MAX)
      throw new ClientError('OVERLOADED', 'too many messages are waiting to be sent');
    const whole: OutboxEntry = {
      ...entry,
      ordinal: this.#nextOrdinal++,
      queuedTimeMs: this.#host.nowMs(),
    };
    const ref = this.#newRef(whole);
    this.#refs.set(entry.key, ref);
    this.#step({ is: 'added', entry: whole });
    this.#hooks.changed(entry.conversationId);
    const put = { table: 'outbox' as const, key: [whole.ordinal], value: whole };
    this.#write([put, ...alongside()], () => this.#step({ is: 'saved', key: whole.key }));
    return ref;
  }

  ref(key: Key): MessageRef | undefined {
    return this.#refs.get(key);
  }

  /** Content of an own send by key, while it is under way and shortly after. */
  bodyOf(key: Key): Body | undefined {
    const entry = this.machine.entry(key);
    if (entry === undefined) return this.#recent.get(key);
    return entry.body ?? (waitsFor(entry).length === 0 ? bodyOf(entry.action) : undefined);
  }

  live(isLive: boolean): void {
    this.#step({ is: 'live', isLive });
  }

  /** The list of conversations is as the server has it. */
  listed(): void {
    this.#step({ is: 'listed' });
  }

  hold(conversationId: ConversationId, isHeld: boolean): void {
    this.#step({ is: 'held', conversationId, isHeld });
  }

  appeared(row: {
    readonly clientMessageId?: string;
    readonly sequence: number;
    readonly timeMs?: number;
    readonly outboxId?: string;
    readonly clientSeq?: number;
  }): void {
    if (row.clientMessageId === undefined || this.machine.entry(row.clientMessageId) === undefined)
      return;
    this.#step({
      is: 'appeared',
      key: row.clientMessageId,
      sequence: row.sequence,
      timeMs: row.timeMs ?? this.#host.nowMs(),
      ...(row.outboxId ? { outboxId: row.outboxId } : {}),
      ...(row.clientSeq ? { clientSeq: row.clientSeq } : {}),
    });
  }

  #step(event: OutboxEvent): void {
    const effects = this.machine.step(event, this.#moment());
    for (const effect of effects) this.#perform(effect);
    this.#arm();
  }

  #perform(effect: OutboxEffect): void {
    switch (effect.is) {
      case 'store': {
        const { numbered } = effect;
        return this.#write(effect.puts, () => {
          if (numbered.length > 0) this.#step({ is: 'numbered', keys: numbered });
        });
      }
      case 'transmit':
        return this.#hooks.request(effect.entries, (entry, frame) => this.#answered(entry, frame));
      case 'state':
        this.#show(effect.entry.key);
        return this.#hooks.changed(effect.entry.conversationId);
      case 'settled':
        return this.#settled(effect.settled);
      case 'failed':
        this.#refs.get(effect.entry.key)?.rejected(effect.reason);
        return this.#hooks.failed(effect.entry, effect.reason);
      case 'cancelled':
        this.#refs.get(effect.entry.key)?.rejected('CANCELED');
        this.#refs.delete(effect.entry.key);
        return this.#hooks.changed(effect.entry.conversationId);
      case 'recover':
        return this.#recover(effect.conversationId, effect.keys);
    }
  }

  #answered(entry: OutboxEntry, frame: ServerFrame | undefined): void {
    // No frame: the connection ended, which `live` already said.
    if (frame?.commit !== undefined) this.#committed(entry.key, frame.commit);
    else if (frame?.error !== undefined)
      this.#step({ is: 'refused', key: entry.key, error: frame.error });
  }

  #committed(key: Key, commit: Commit): void {
    this.#step({ is: 'committed', key, commit });
  }

  #settled(settled: SettledSend): void {
    const { entry } = settled;
    const body = entry.body ?? bodyOf(entry.action);
    this.#recent.set(entry.key, body);
    if (this.#recent.size > RECENT_MAX) this.#recent.delete(this.#recent.keys().next().value ?? '');
    const { userId, deviceId } = this.#hooks.me();
    const message: Message | undefined =
      entry.action.is === 'message'
        ? {
            sequence: settled.sequence,
            timeMs: settled.timeMs,
            senderUserId: userId,
            senderDeviceId: deviceId,
            clientMessageId: entry.key,
            content: body,
            changeSequence: settled.sequence,
          }
        : undefined;
    const ref = this.#refs.get(entry.key);
    this.#refs.delete(entry.key);
    ref?.settled(settled);
    const landing: SettledRef | undefined =
      ref === undefined ? undefined : { ...settled, ref, state: ref.state, isCached: false };
    this.#hooks.changed(entry.conversationId, landing);
    // Into the cache first: a crash between leaves the entry, and sending it again is a replay.
    this.#hooks.committed(settled, message, () => {
      this.#step({ is: 'cached', entry });
      if (landing === undefined) return;
      landing.isCached = true;
      this.#hooks.cached(entry.conversationId);
    });
  }

  #recover(conversationId: ConversationId, keys: readonly Key[]): void {
    // One that began on an earlier connection goes on over this one, or fails and is asked for again.
    if (this.#recovering.has(conversationId)) return;
    this.#recovering.add(conversationId);
    const ended = (event: OutboxEvent): void => {
      this.#recovering.delete(conversationId);
      this.#step(event);
    };
    const freshOutboxId = newUuid((count) => this.#host.randomBytes(count));
    const hidden = (reason: 'NOT_A_MEMBER' | 'COMMIT_UNKNOWN'): void =>
      ended({ is: 'hidden', conversationId, keys, reason, freshOutboxId });
    this.#hooks.recover(conversationId, keys).then(
      (isWhole) =>
        isWhole
          ? ended({ is: 'recovered', conversationId, keys, freshOutboxId })
          : hidden('COMMIT_UNKNOWN'),
      (error: unknown) => {
        if (reasonOf(error) === 'NOT_A_MEMBER') hidden('NOT_A_MEMBER');
        else if (isRefusedForGood(error)) hidden('COMMIT_UNKNOWN');
        else ended({ is: 'unrecovered', conversationId, retryAfterMs: retryAfterMsOf(error) });
      },
    );
  }

  #write(puts: readonly StorePut<OwnTable>[], then: () => void): void {
    const write: Promise<void> = this.#store
      .writeOwn(puts)
      .then(() => {
        if (!this.#isStopped) then();
      })
      // FENCED: another owner has the outbox now, and sends what is in it.
      .catch(() => undefined)
      .finally(() => this.#writes.delete(write));
    this.#writes.add(write);
  }

  #show(key: Key): void {
    const state = this.machine.stateOf(key);
    if (state !== undefined) this.#refs.get(key)?.state.set(state);
  }

  #arm(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    if (this.#isStopped) return;
    const moment = this.#moment();
    const at = this.machine.nextTickMs(moment);
    if (at === undefined) return;
    // Within a day's reach of setTimeout, and never a busy loop.
    const ms = Math.min(Math.max(at - moment.monotonicMs, 10), 3_600_000);
    this.#cancelTimer = this.#host.after(ms, () => this.#step({ is: 'tick' }));
  }

  #moment(): Moment {
    const host = this.#host;
    return { nowMs: host.nowMs(), monotonicMs: host.monotonicMs(), chance: host.random() };
  }

  #newRef(entry: OutboxEntry): SendRef {
    const ref = new SendRef(entry.key);
    ref.held(this.#actsOn(entry.key), undefined);
    return ref;
  }

  /** Once stopped it may be another owner's to send: here nothing can be done about it. */
  #actsOn(key: Key): RefActions {
    return {
      retry: () => {
        if (this.#isStopped || this.machine.entry(key)?.failed === undefined) return false;
        this.#step({ is: 'retry', key });
        return true;
      },
      cancel: () => {
        if (this.#isStopped || this.machine.entry(key) === undefined) return false;
        this.#step({ is: 'cancel', key });
        return this.machine.entry(key) === undefined;
      },
    };
  }
}

/** Both answer whether they did it. */
interface RefActions {
  retry(): boolean;
  cancel(): boolean;
}

/** What a sender holds: it outlives the outbox, for the message may be accepted in a later life. */
class SendRef implements MessageRef {
  readonly key: Key;
  readonly state: Cell<SendState>;
  #do: RefActions | undefined;
  #promise!: Promise<Accepted>;
  #resolve!: (accepted: Accepted) => void;
  #reject!: (error: ClientError) => void;
  #isRejected = false;

  constructor(key: Key) {
    this.key = key;
    this.state = new Cell<SendState>({ is: 'SENDING', step: 'saving' }, isShallowEqual);
    this.#renew();
  }

  /** An outbox has it to send, or has failed to: perhaps in a former life, of another owner even. */
  held(actions: RefActions, failed: Reason | undefined): void {
    this.#do = actions;
    if (failed !== undefined) this.rejected(failed);
    else if (this.#isRejected) this.#renew();
  }

  /** No outbox has it any more, and nobody here knows whether it was sent. */
  gone(): void {
    const reason = 'COMMIT_UNKNOWN';
    this.#do = undefined;
    this.state.set({ is: 'FAILED', reason, retryable: false });
    this.#isRejected = true;
    this.#reject(new ClientError(reason, 'another owner of the data dealt with the message'));
  }

  get accepted(): Promise<Accepted> {
    return this.#promise;
  }

  retry(): void {
    if (this.#do?.retry() === true && this.#isRejected) this.#renew();
  }

  cancel(): boolean {
    return this.#do?.cancel() === true;
  }

  settled(settled: SettledSend): void {
    // What failed and appeared after all is accepted.
    if (this.#isRejected) this.#renew();
    const { sequence, timeMs, queued } = settled;
    this.state.set({ is: queued > 0 ? 'STORED' : 'SENT' });
    this.#resolve({ conversationId: settled.entry.conversationId, sequence, timeMs });
  }

  rejected(reason: Reason): void {
    this.#isRejected = true;
    this.#reject(new ClientError(reason, 'the message was not sent'));
  }

  #renew(): void {
    this.#isRejected = false;
    this.#promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Whoever does not look at the outcome reads it from `state`.
    this.#promise.catch(() => undefined);
  }
}
