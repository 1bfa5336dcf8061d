/** One node over the memory twins, which can be crashed and started again. */
import { sharedChunk, utf8 } from '../../../core/bytes.ts';
import { ParleyError } from '../../../core/errors.ts';
import type { ReplicaId } from '../../../core/ids.ts';
import { invariant } from '../../../core/invariant.ts';
import { SILENT } from '../../../core/observe.ts';
import type { WalListener, WalRecovery } from '../../../storage-engine/contract.ts';
import { MemoryDisk } from '../../../storage-engine/memory-disk.ts';
import { MemoryStateStore, StateMedium } from '../../../storage-engine/memory-state-store.ts';
import { TEST_KEYS, seededRandom, testDataKey } from '../../../storage-engine/testing.ts';
import { LocalWal } from '../../../storage-engine/wal/local-wal.ts';
import { recoverWal } from '../../../storage-engine/wal/recovery.ts';
import { WAL_OPTIONS, WalWriter } from '../../../storage-engine/wal/wal-writer.ts';
import { createAccountMachine } from '../../account/account-machine.ts';
import { createConversationMachine } from '../../conversation/machine.ts';
import type { QueryHandler } from '../query-handler.ts';
import { LAN_TICKS, type StoreLimits, type StoreOptions } from '../store-options.ts';
import { Store } from '../store.ts';
import { MemoryLink } from './memory-link.ts';
import { TestGateway } from './test-gateway.ts';
import { VirtualTime } from './virtual-time.ts';

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
      newChunk: sharedChunk,
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
      machine: options.machine ?? (() => createConversationMachine({ newChunk: sharedChunk })),
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
