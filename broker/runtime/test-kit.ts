/**
 * What tests of the store share, here and in the simulator: time that is moved by hand, Links in
 * memory, and one node over the memory twins that can be crashed and started again.
 */
import { readU53, utf8, viewOf } from '../../core/bytes.ts';
import type { Clock, Timer, Timers } from '../../core/clock.ts';
import { ParleyError } from '../../core/errors.ts';
import type { ReplicaId } from '../../core/ids.ts';
import { invariant } from '../../core/invariant.ts';
import type { Link, LinkEvents } from '../../core/link.ts';
import { decodeError } from '../../core/link-payload.ts';
import { SILENT } from '../../core/observe.ts';
import {
  RECORD,
  type Slab,
  SlabWriter,
  countAt,
  eachRecord,
  extraAt,
  flagsAt,
  handleAt,
  idAt,
  kindAt,
  payloadAt,
  positionAt,
  requestAt,
  shardAt,
} from '../../core/record.ts';
import type { WalRecovery, WalListener } from '../../storage-engine/contract.ts';
import { MemoryDisk } from '../../storage-engine/memory-disk.ts';
import { MemoryStateStore, StateMedium } from '../../storage-engine/memory-state-store.ts';
import { TEST_KEYS, seededRandom, testDataKey } from '../../storage-engine/testing.ts';
import { LocalWal } from '../../storage-engine/wal/local-wal.ts';
import { recoverWal } from '../../storage-engine/wal/recovery.ts';
import { WAL_OPTIONS, WalWriter } from '../../storage-engine/wal/wal-writer.ts';
import { createAccountMachine } from '../account/account-machine.ts';
import { createConversationMachine } from '../conversation/machine.ts';
import type { QueryHandler } from './query-handler.ts';
import { LAN_TICKS, type StoreLimits, type StoreOptions } from './store-options.ts';
import { Store } from './store.ts';

/** Time that stands until it is moved. `settle` runs whatever is due now, promises included. */
export class VirtualTime implements Clock, Timers {
  #nowMs = 0;
  readonly #startMs: number;
  #soon: (() => void)[] = [];
  #timers: { atMs: number; fire: () => void; periodMs: number | undefined }[] = [];
  /** Added to the wall clock: a clock set wrong. */
  wallOffsetMs = 0;

  constructor(startMs: number = 1_700_000_000_000) {
    this.#startMs = startMs;
  }

  nowMs(): number {
    return this.#startMs + this.#nowMs + this.wallOffsetMs;
  }
  monotonicMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, fire: () => void): Timer {
    return this.#add(delayMs, fire, undefined);
  }
  every(periodMs: number, fire: () => void): Timer {
    return this.#add(periodMs, fire, periodMs);
  }
  soon(fire: () => void): void {
    this.#soon.push(fire);
  }

  /** Runs everything that needs no time to pass. */
  async settle(): Promise<void> {
    for (let idle = 0; idle < 3; ) {
      const due = this.#soon.splice(0);
      for (const fire of due) fire();
      await new Promise<void>((resolve) => setImmediate(resolve));
      idle = due.length === 0 && this.#soon.length === 0 ? idle + 1 : 0;
    }
  }

  /** Runs so many turns of the loop and no more: what is under way stays under way. */
  async turns(count: number): Promise<void> {
    for (let turn = 0; turn < count; turn++) {
      for (const fire of this.#soon.splice(0)) fire();
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
  }

  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    await this.settle();
    for (;;) {
      const next = Math.min(...this.#timers.map(({ atMs }) => atMs));
      if (!(next <= untilMs)) break;
      this.#nowMs = next;
      for (const timer of this.#timers.filter(({ atMs }) => atMs <= next)) {
        if (timer.periodMs === undefined) this.#timers.splice(this.#timers.indexOf(timer), 1);
        else timer.atMs += timer.periodMs;
        timer.fire();
      }
      await this.settle();
    }
    this.#nowMs = untilMs;
  }

  /** What is left of a process that is gone: nothing of it may run any more. */
  drop(): void {
    this.#soon = [];
    this.#timers = [];
  }

  /** Moves the clock and fires what is due, without letting the loop come to rest. */
  skip(ms: number): void {
    this.#nowMs += ms;
    for (const timer of this.#timers.filter(({ atMs }) => atMs <= this.#nowMs)) {
      if (timer.periodMs === undefined) this.#timers.splice(this.#timers.indexOf(timer), 1);
      else timer.atMs = this.#nowMs + timer.periodMs;
      timer.fire();
    }
  }

  #add(delayMs: number, fire: () => void, periodMs: number | undefined): Timer {
    const timer = { atMs: this.#nowMs + delayMs, fire, periodMs };
    this.#timers.push(timer);
    return {
      cancel: () => {
        const at = this.#timers.indexOf(timer);
        if (at >= 0) this.#timers.splice(at, 1);
      },
    };
  }
}

/** One end of a Link in memory. What is sent arrives in a later turn. */
export class MemoryLink implements Link {
  #events: LinkEvents | undefined;
  #waiting: Slab[] = [];
  #peer: MemoryLink | undefined;
  readonly #time: Timers;
  #isOver = false;
  /** Set by a test: the other side is behind. */
  isStalled = false;
  bytesUnderWay = 0;

  constructor(time: Timers) {
    this.#time = time;
  }

  static pair(time: Timers): readonly [MemoryLink, MemoryLink] {
    const a = new MemoryLink(time);
    const b = new MemoryLink(time);
    a.#peer = b;
    b.#peer = a;
    return [a, b];
  }

  get isWritable(): boolean {
    return !this.isStalled && !this.#isOver;
  }
  listen(events: LinkEvents): void {
    this.#events = events;
    for (const slab of this.#waiting.splice(0)) events.slab(slab);
  }
  send(slab: Slab): void {
    this.#time.soon(() => this.#peer?.arrived(slab));
  }
  writable(): void {
    this.isStalled = false;
    this.#events?.writable();
  }
  close(reason?: ParleyError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#time.soon(() => this.#peer?.ended(reason));
  }
  arrived(slab: Slab): void {
    if (this.#isOver) return;
    if (this.#events === undefined) this.#waiting.push(slab);
    else this.#events.slab(slab);
  }
  ended(reason: ParleyError | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#events?.closed(reason);
  }
}

/** A record that a gateway got, copied out of its slab. */
export interface GotRecord {
  readonly kind: number;
  readonly flags: number;
  readonly request: number;
  readonly handle: number;
  readonly shard: number;
  readonly count: number;
  readonly extra: number;
  readonly position: number;
  readonly id: Uint8Array;
  readonly payload: Uint8Array;
}

/** A gateway as the store sees one: sends commands and routes, keeps what it gets. */
export class TestGateway {
  readonly out: SlabWriter;
  readonly link: MemoryLink;
  readonly got: GotRecord[] = [];
  #request = 0;
  isClosed = false;

  constructor(link: MemoryLink, time: Timers) {
    this.link = link;
    this.out = new SlabWriter(
      (slab) => link.send(slab),
      (flush) => time.soon(flush),
    );
    link.listen({
      slab: (slab) => eachRecord(slab, (at) => this.got.push(recordAt(slab, at))),
      writable: () => undefined,
      closed: () => {
        this.isClosed = true;
      },
    });
  }

  command(bytes: Uint8Array): number {
    const request = ++this.#request;
    this.out.write({ kind: RECORD.command, request }, bytes);
    return request;
  }

  query(method: number, caller: Uint8Array, payload: Uint8Array): number {
    const request = ++this.#request;
    const bytes = new Uint8Array(32 + payload.length);
    bytes.set(caller);
    bytes.set(payload, 32);
    this.out.write({ kind: RECORD.query, request, extra: method }, bytes);
    return request;
  }

  routes(users: readonly (readonly [handle: number, user: Uint8Array])[], isAll = false): void {
    const payload = new Uint8Array(users.length * 20);
    for (const [i, [handle, user]] of users.entries()) {
      viewOf(payload).setUint32(i * 20, handle, true);
      payload.set(user, i * 20 + 4);
    }
    this.out.write({ kind: RECORD.routes, flags: isAll ? 1 : 0 }, payload);
  }

  unroutes(handles: readonly number[]): void {
    this.out.write({ kind: RECORD.unroutes }, new Uint8Array(Uint32Array.from(handles).buffer));
  }

  typing(conversation: Uint8Array, user: Uint8Array, state: number): void {
    const payload = new Uint8Array(17);
    payload.set(user);
    payload[16] = state;
    this.out.write({ kind: RECORD.typing, id: conversation }, payload);
  }

  of(kind: number): GotRecord[] {
    return this.got.filter((record) => record.kind === kind);
  }

  answer(request: number): GotRecord | undefined {
    return this.got.find((record) => record.request === request);
  }

  committed(request: number): Commit {
    const record = this.answer(request);
    invariant(record !== undefined, 'test.answered', { request });
    if (record.kind === RECORD.error) throw decodeError(record.payload);
    const view = viewOf(record.payload);
    return {
      sequence: record.position,
      queued: record.count,
      replayed: record.flags === 1,
      timeMs: readU53(view, 0),
      index: readU53(view, 8),
      head: readU53(view, 16),
    };
  }

  refused(request: number): ParleyError {
    const record = this.answer(request);
    invariant(record?.kind === RECORD.error, 'test.refused', { request });
    return decodeError(record.payload);
  }
}

export interface Commit {
  readonly sequence: number;
  readonly queued: number;
  readonly replayed: boolean;
  readonly timeMs: number;
  readonly index: number;
  readonly head: number;
}

/** Handles and row of a `row` record. */
export function rowOfRecord(record: GotRecord): {
  readonly handles: number[];
  readonly row: Uint8Array;
} {
  const view = viewOf(record.payload);
  const count = view.getUint32(0, true);
  const handles = Array.from({ length: count }, (_, i) => view.getUint32(4 + 4 * i, true));
  return { handles, row: record.payload.subarray(4 + 4 * count) };
}

export const TEST_LIMITS: StoreLimits = {
  shards: 16,
  flushIntervalMs: 1000,
  flushBytesMax: 32 * 1024 * 1024,
  residentBytesMax: 64 * 1024 * 1024,
  hotTailBytesMax: 16 * 1024 * 1024,
  blockCacheBytesMax: 16 * 1024 * 1024,
  uncommittedShardBytesMax: 16 * 1024 * 1024,
  uncommittedStoreBytesMax: 256 * 1024 * 1024,
  groupHeadsMembersMin: 100,
  ...LAN_TICKS,
};

export interface TestNodeOptions {
  readonly limits?: Partial<StoreLimits>;
  readonly seed?: number;
  readonly queries?: StoreOptions['queries'];
  readonly machine?: StoreOptions['machine'];
}

const NO_QUERIES: QueryHandler = {
  query: (_, reply) =>
    reply.error(new ParleyError('PROTOCOL_UNSUPPORTED', 'no questions in this test')),
};

/** One node over the memory twins: what outlives a crash is the disk and the medium. */
export class TestNode {
  readonly time: VirtualTime = new VirtualTime();
  readonly disk: MemoryDisk;
  readonly medium: StateMedium = new StateMedium();
  readonly options: TestNodeOptions;
  readonly #random: ReturnType<typeof seededRandom>;
  #keyNumber = 0;
  #life = 0;
  readonly #links: MemoryLink[] = [];
  #later: (() => void)[] | undefined;
  #stateLater: (() => void)[] | undefined;
  store: Store;
  fatal: Error | undefined;
  wal: LocalWal | undefined;

  constructor(options: TestNodeOptions = {}) {
    this.options = options;
    this.#random = seededRandom(options.seed ?? 1);
    this.disk = new MemoryDisk({ random: this.#random });
    this.store = this.#make();
  }

  static async started(options: TestNodeOptions = {}): Promise<TestNode> {
    const node = new TestNode(options);
    await node.start();
    return node;
  }

  start(): Promise<void> {
    return this.until(this.store.start());
  }

  /** Lets time pass until the promise is settled. */
  async until<T>(promise: Promise<T>): Promise<T> {
    let isDone = false;
    const done = (): void => {
      isDone = true;
    };
    promise.then(done, done);
    for (let turn = 0; turn < 400 && !isDone; turn++) {
      await this.time.settle();
      if (!isDone) await this.time.advance(5);
    }
    invariant(isDone, 'test.promise-settles');
    return promise;
  }

  gateway(): TestGateway {
    const [ours, theirs] = MemoryLink.pair(this.time);
    this.#links.push(theirs);
    this.store.attach(theirs);
    return new TestGateway(ours, this.time);
  }

  /** The store's end of the Link of the n-th gateway: its other side is behind until `writable`. */
  stall(n: number): MemoryLink {
    const link = this.#links[n];
    invariant(link !== undefined, 'test.gateway-there', { n });
    link.isStalled = true;
    return link;
  }

  /** From now on frames become durable only when the returned function is called. */
  holdSyncs(): { readonly held: () => number; readonly release: () => void } {
    const held: (() => void)[] = [];
    this.#later = held;
    return {
      held: () => held.length,
      release: () => {
        this.#later = undefined;
        for (const run of held.splice(0)) run();
      },
    };
  }

  /** From now on the state store does nothing until the returned function is called. */
  holdState(): () => void {
    const held: (() => void)[] = [];
    this.#stateLater = held;
    return () => {
      this.#stateLater = undefined;
      for (const run of held.splice(0)) run();
    };
  }

  /** Cuts the power: everything not synced may be gone. `start` brings the node back. */
  crash(): void {
    this.time.drop();
    this.disk.crash();
    this.medium.crash(this.#random);
    this.#later = undefined;
    this.#stateLater = undefined;
    this.store = this.#make();
  }

  async restart(): Promise<void> {
    this.crash();
    await this.start();
  }

  /** Lets time pass until a flush has taken everything applied. */
  async flushed(): Promise<void> {
    await this.time.advance(1500);
    await this.time.settle();
  }

  stop(): Promise<void> {
    return this.until(this.store.stop());
  }

  #make(): Store {
    const life = ++this.#life;
    const { time, disk, options } = this;
    const random = this.#random;
    const medium = this.medium;
    return new Store({
      limits: { ...TEST_LIMITS, ...options.limits },
      storage: {
        state: new MemoryStateStore({
          medium,
          later: (run) =>
            this.#stateLater === undefined ? time.soon(run) : this.#stateLater.push(run),
        }),
        recover: (applied) => recoverWal({ disk, keys: TEST_KEYS, applied }),
        openWal: (recovery, listener) => this.#openWal(recovery, listener),
      },
      clock: time,
      timers: time,
      random,
      log: SILENT,
      replica: 1 as ReplicaId,
      voters: [1 as ReplicaId],
      settings: {
        clusterId: new Uint8Array(16).fill(5),
        epoch: 1_700_000_000,
        membersMax: 500,
        editWindowMs: 48 * 3_600_000,
        editsMax: 100,
        featureLevel: 1,
        hashKey: new Uint8Array(32).fill(7),
      },
      machine: options.machine ?? createConversationMachine,
      accounts: createAccountMachine,
      render: (view, user) => {
        const me = view.me(user);
        return utf8(JSON.stringify({ head: view.head, unread: me?.unreadCount, role: me?.role }));
      },
      queries: options.queries ?? (() => NO_QUERIES),
      fatal: (error) => {
        // What is left of a process whose power was cut has no say.
        if (life === this.#life) this.fatal = error;
      },
    });
  }

  #openWal(recovery: WalRecovery, listener: WalListener): LocalWal {
    const writer = new WalWriter({
      disk: this.disk,
      key: testDataKey('wal', ++this.#keyNumber),
      tail: recovery.tail,
      clock: this.time,
      options: { ...WAL_OPTIONS, segmentBytes: 1 << 20, reserveBytes: 0 },
    });
    writer.start();
    this.wal = new LocalWal({
      writer,
      listener,
      later: (run) => (this.#later === undefined ? this.time.soon(run) : this.#later.push(run)),
    });
    return this.wal;
  }
}

function recordAt(slab: Slab, at: number): GotRecord {
  return {
    kind: kindAt(slab, at),
    flags: flagsAt(slab, at),
    request: requestAt(slab, at),
    handle: handleAt(slab, at),
    shard: shardAt(slab, at),
    count: countAt(slab, at),
    extra: extraAt(slab, at),
    position: positionAt(slab, at),
    id: idAt(slab, at).slice(),
    payload: payloadAt(slab, at).slice(),
  };
}
