/**
 * The server's side of the world: one disk and one state medium that outlive processes, a store's
 * process on them, assembled as server/threads/store-thread.ts does it with virtual parts, and the
 * gateways' processes before it.
 */
import { sharedChunk } from '../../core/bytes.ts';
import type { ReplicaId } from '../../core/ids.ts';
import type { Logger } from '../../core/observe.ts';
import { toParleyError } from '../../core/errors.ts';
import { DirectoryMachine } from '../../broker/account/account-machine.ts';
import { PackedConversationMachine } from '../../broker/conversation/machine.ts';
import type { ShardSettings } from '../../broker/placement/shard-settings.ts';
import { Store } from '../../broker/runtime/store.ts';
import type { StoreLimits, StoreStorage } from '../../broker/runtime/store-options.ts';
import { queryHandlerOf } from '../../broker/service/query-service.ts';
import { renderConversation } from '../../broker/service/render.ts';
import { Gateway } from '../../gateways/gateway.ts';
import { Origins } from '../../gateways/origins.ts';
import type { SessionLimits } from '../../gateways/session/limits.ts';
import type { WalListener, WalRecovery } from '../../storage-engine/contract.ts';
import { KeyRing } from '../../storage-engine/key-ring.ts';
import { MemoryDisk } from '../../storage-engine/memory-disk.ts';
import { MemoryStateStore, StateMedium } from '../../storage-engine/memory-state-store.ts';
import { testKek } from '../../storage-engine/testing.ts';
import { LocalWal } from '../../storage-engine/wal/local-wal.ts';
import { recoverWal } from '../../storage-engine/wal/recovery.ts';
import { IDLE_MARK_MS } from '../../storage-engine/wal/sync-loop.ts';
import { WalWriter, type WalOptions } from '../../storage-engine/wal/wal-writer.ts';
import type { Chance } from './chance.ts';
import type { VirtualAccounts } from './virtual-accounts.ts';
import { VirtualLink } from './virtual-link.ts';
import type { VirtualSocket } from './virtual-socket.ts';
import type { Scope, VirtualTime } from './virtual-time.ts';
import type { Weakness } from './weak-twins.ts';

export interface NodeSettings {
  readonly limits: StoreLimits;
  readonly wal: WalOptions;
  readonly settings: ShardSettings;
  readonly session: SessionLimits;
  readonly diskBytes: number;
  readonly linkWindowBytes: number;
  readonly linkDelayMaxMs: number;
  readonly syncMaxMs: number;
  readonly stateMaxMs: number;
}

export interface NodeParts {
  readonly time: VirtualTime;
  readonly chance: Chance;
  readonly accounts: VirtualAccounts;
  readonly settings: NodeSettings;
  readonly log: Logger;
  /** The store's process ended by itself: a broken disk. */
  readonly ended: (error: Error) => void;
  /** Parts replaced by weak twins; empty in a sound world. */
  readonly weakness: Weakness;
}

const THIS_REPLICA = 1 as ReplicaId;

export class VirtualNode {
  readonly disk: MemoryDisk;
  readonly medium: StateMedium = new StateMedium();
  readonly #parts: NodeParts;
  readonly #chance: Chance;
  #scope: Scope;
  #store: Store | undefined;
  #isUp = false;
  #lives = 0;
  /** Wall clock of this machine against the truth. */
  wallOffsetMs = 0;
  /** Syncs take at least this long. */
  stallMs = 0;
  onUp: () => void = () => undefined;

  constructor(parts: NodeParts) {
    this.#parts = parts;
    this.#chance = parts.chance.fork('node');
    this.disk = new MemoryDisk({
      random: this.#chance.fork('disk'),
      capacityBytes: parts.settings.diskBytes,
    });
    this.#scope = parts.time.scope('store');
    this.#scope.die();
  }

  /** The running store; undefined while none is. */
  get store(): Store | undefined {
    return this.#isUp ? this.#store : undefined;
  }

  /** Also while it is starting: to look into one that does not come up. */
  get newestStore(): Store | undefined {
    return this.#store;
  }

  get isAlive(): boolean {
    return !this.#scope.isDead;
  }

  get scope(): Scope {
    return this.#scope;
  }

  get lives(): number {
    return this.#lives;
  }

  jump(ms: number): void {
    this.wallOffsetMs += ms;
    this.#scope.wallOffsetMs = this.wallOffsetMs;
  }

  start(): void {
    const { time } = this.#parts;
    const scope = time.scope(`store-${++this.#lives}`);
    scope.wallOffsetMs = this.wallOffsetMs;
    this.#scope = scope;
    this.#isUp = false;
    try {
      this.#begin(scope);
    } catch (error) {
      // Refused before it began: a disk that is full.
      this.#ended(scope, toParleyError(error));
    }
  }

  #begin(scope: Scope): void {
    const { log, settings, weakness } = this.#parts;
    const store = new Store({
      ...(weakness.log === undefined ? {} : { shardLog: weakness.log }),
      limits: settings.limits,
      newChunk: sharedChunk,
      settings: settings.settings,
      storage: this.#storage(scope),
      clock: scope,
      timers: scope,
      random: this.#chance.fork(`random-${this.#lives}`),
      log,
      replica: THIS_REPLICA,
      voters: [THIS_REPLICA],
      machine:
        weakness.machine ??
        ((): PackedConversationMachine => new PackedConversationMachine({ newChunk: sharedChunk })),
      accounts: () => new DirectoryMachine(),
      render: renderConversation,
      queries: (reads) => queryHandlerOf(reads, log),
      fatal: (error) => this.#ended(scope, error),
    });
    this.#store = store;
    store.start().then(
      () => {
        if (scope.isDead) return;
        this.#isUp = true;
        this.onUp();
      },
      (error: unknown) => this.#ended(scope, toParleyError(error)),
    );
  }

  /** SIGKILL, or the plug: then what was not synced is anything between there and gone. */
  end(how: 'kill' | 'power'): void {
    this.#scope.die();
    this.#isUp = false;
    if (how === 'kill') {
      this.disk.kill();
      this.medium.kill();
      return;
    }
    this.disk.crash();
    this.medium.crash(this.#chance);
  }

  /** SIGTERM. Done when `then` is called; the process is over. */
  stop(then: () => void): void {
    const scope = this.#scope;
    const store = this.#store;
    if (store === undefined || scope.isDead) return then();
    this.#isUp = false;
    const done = (): void => {
      if (scope.isDead) return;
      scope.die();
      then();
    };
    store.stop().then(done, done);
  }

  /** A Link to the running store, the gateway's end. Throws if there is none. */
  connect(gateway: Scope): VirtualLink {
    const store = this.#store;
    if (store === undefined || this.#scope.isDead) throw new TypeError('no store');
    const { settings } = this.#parts;
    const [near, far] = VirtualLink.pair(gateway, this.#scope, {
      chance: this.#chance.fork(`${gateway.name}-${this.#parts.time.fired}`),
      windowBytes: settings.linkWindowBytes,
      delayMaxMs: settings.linkDelayMaxMs,
    });
    store.attach(far);
    return near;
  }

  #ended(scope: Scope, error: Error): void {
    if (scope.isDead) return;
    this.end('kill');
    this.#parts.ended(error);
  }

  #storage(scope: Scope): StoreStorage {
    const { settings } = this.#parts;
    const { disk, medium } = this;
    const chance = this.#chance.fork(`storage-${this.#lives}`);
    const keys = new KeyRing(disk, testKek(), chance);
    keys.open();
    keys.create('state', scope.nowMs());
    const state = new MemoryStateStore({
      medium,
      later: (run) =>
        void scope.after(
          chance.delay(0.02, settings.stateMaxMs) + this.stallMs * chance.unit(),
          run,
        ),
    });
    return {
      state,
      recover: (applied) => {
        const recovery = recoverWal({ disk, keys, applied });
        return this.#parts.weakness.recovery?.(recovery) ?? recovery;
      },
      openWal: (recovery, listener) => this.#openWal({ scope, keys, chance }, recovery, listener),
    };
  }

  #openWal(
    life: { readonly scope: Scope; readonly keys: KeyRing; readonly chance: Chance },
    recovery: WalRecovery,
    listener: WalListener,
  ): LocalWal {
    const { settings } = this.#parts;
    const { scope, keys, chance } = life;
    const { disk } = this;
    const key = keys.create('wal', scope.nowMs());
    keys.retain('wal', new Set([...recovery.keyNumbers, key.number]));
    const options = settings.wal;
    const writer = new WalWriter({
      disk: this.#parts.weakness.disk?.(disk) ?? disk,
      key,
      tail: recovery.tail,
      clock: scope,
      options,
    });
    writer.start();
    const wal = new LocalWal({
      writer,
      listener,
      later: (run) =>
        void scope.after(chance.delay(0.1, settings.syncMaxMs) + this.stallMs * chance.unit(), run),
    });
    scope.every(IDLE_MARK_MS, () => wal.tick());
    return wal;
  }
}

export class VirtualGateway {
  readonly #parts: NodeParts;
  readonly #node: VirtualNode;
  readonly #name: string;
  readonly #sockets = new Set<VirtualSocket>();
  #scope: Scope;
  #gateway: Gateway | undefined;
  #link: VirtualLink | undefined;
  #lives = 0;

  constructor(parts: NodeParts, node: VirtualNode, name: string) {
    this.#parts = parts;
    this.#node = node;
    this.#name = name;
    this.#scope = parts.time.scope(name);
    this.#scope.die();
  }

  get scope(): Scope {
    return this.#scope;
  }

  get isAlive(): boolean {
    return !this.#scope.isDead;
  }

  get gateway(): Gateway | undefined {
    return this.isAlive ? this.#gateway : undefined;
  }

  get link(): VirtualLink | undefined {
    return this.#link;
  }

  get sockets(): ReadonlySet<VirtualSocket> {
    return this.#sockets;
  }

  start(): void {
    const { time, chance, accounts, settings, log } = this.#parts;
    const scope = time.scope(`${this.#name}-${++this.#lives}`);
    scope.wallOffsetMs = this.#node.wallOffsetMs;
    this.#scope = scope;
    const identity = accounts.port(scope);
    const { epoch, hashKey } = settings.settings;
    this.#gateway = new Gateway({
      connectStore: () => (this.#link = this.#node.connect(scope)),
      identity,
      verifier: identity,
      clock: scope,
      timers: scope,
      random: chance.fork(scope.name),
      log,
      epoch,
      shardCount: settings.limits.shards,
      hashKey,
      limits: settings.session,
      featureLevel: 1,
      features: [],
      origins: new Origins({ allowed: [], httpPort: () => 8080 }),
    });
    this.#gateway.start();
  }

  /** Its process ends: sockets and Link break. */
  end(): void {
    if (!this.isAlive) return;
    this.#scope.die();
    this.#link?.cut();
    this.#link = undefined;
    for (const socket of this.#sockets) socket.peerDied();
    this.#sockets.clear();
  }

  adopt(socket: VirtualSocket): void {
    for (const known of this.#sockets) if (known.isOver) this.#sockets.delete(known);
    this.#sockets.add(socket);
  }
}
