/**
 * The thread of one store: its state store, its WAL (written by a sync thread of its own) and all
 * shards on it. Gateways' Links arrive as message ports.
 */
import { MessageChannel, Worker, workerData, type MessagePort } from 'node:worker_threads';
import { toParleyError } from '../../core/errors.ts';
import type { ReplicaId } from '../../core/ids.ts';
import { invariant } from '../../core/invariant.ts';
import type { Logger, MetricSample } from '../../core/observe.ts';
import { DirectoryMachine } from '../../broker/account/account-machine.ts';
import { PackedConversationMachine } from '../../broker/conversation/machine.ts';
import type { ShardSettings } from '../../broker/placement/shard-settings.ts';
import { Store } from '../../broker/runtime/store.ts';
import type { StoreLimits, StoreStorage } from '../../broker/runtime/store-options.ts';
import { queryHandlerOf } from '../../broker/service/query-service.ts';
import { renderConversation } from '../../broker/service/render.ts';
import type { WalListener, WalRecovery } from '../../storage-engine/contract.ts';
import type { KeyEncryptionKey } from '../../storage-engine/key-file.ts';
import { KeyRing } from '../../storage-engine/key-ring.ts';
import { NodeDisk } from '../../storage-engine/node-disk.ts';
import { loadRocksBinding } from '../../storage-engine/rocks-binding.ts';
import { RocksStateStore } from '../../storage-engine/rocks-state-store.ts';
import { recoverWal } from '../../storage-engine/wal/recovery.ts';
import { RemoteWal } from '../../storage-engine/wal/remote-wal.ts';
import type { SyncReply, SyncRequest } from '../../storage-engine/wal/sync-loop.ts';
import type { WalOptions } from '../../storage-engine/wal/wal-writer.ts';
import { MessagePortLink } from '../links/message-port-link.ts';
import { createLogger, type LogLevel } from '../log.ts';
import { REAL_CLOCK, REAL_RANDOM, REAL_TIMERS } from '../real-time.ts';
import { serveCalls } from '../rpc.ts';
import { portOf } from './port.ts';
import type { SyncThreadOptions } from './sync-thread.ts';
import { uncountedChunks } from './uncounted-chunks.ts';

export interface StoreThreadOptions {
  readonly name: string;
  /** Calls from the main thread: StoreCalls. */
  readonly control: MessagePort;
  /** `<data dir>/store-<n>`; exists. */
  readonly directory: string;
  readonly keyFile: KeyEncryptionKey;
  readonly settings: ShardSettings;
  readonly limits: StoreLimits;
  readonly wal: WalOptions;
  readonly stateCacheBytes: number;
  readonly logLevel: LogLevel;
}

/** What the main thread may ask of a store. */
export interface StoreCalls {
  /** Takes the kernel's lock on the store. Refused while another process, wherever it runs, has it. */
  open(): Promise<void>;
  /** After `open`. Resolves when the store has recovered and leads its shards. */
  start(): Promise<void>;
  /** A gateway's end of a Link. */
  connect(port: MessagePort): Promise<void>;
  metrics(): Promise<readonly MetricSample[]>;
  /** Flushes, closes the log in good order. */
  stop(): Promise<void>;
}

/** Exit code of a process whose store cannot go on. */
const EXIT_STORE_FAILED = 71;
const THIS_REPLICA = 1;

class StoreThread implements StoreCalls {
  readonly #options: StoreThreadOptions;
  readonly #log: Logger;
  #opened: Store | undefined;
  /** Once it leads. */
  #store: Store | undefined;
  #sync: Worker | undefined;

  constructor(options: StoreThreadOptions) {
    this.#options = options;
    this.#log = createLogger(options.logLevel, options.name);
  }

  get log(): Logger {
    return this.#log;
  }

  async open(): Promise<void> {
    const { limits, settings } = this.#options;
    // The replica's id: this node holds the first replica of every shard, and is the only voter.
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    const replica = THIS_REPLICA as ReplicaId;
    const newChunk = uncountedChunks();
    const store = new Store({
      limits,
      settings,
      storage: this.#storage(),
      clock: REAL_CLOCK,
      timers: REAL_TIMERS,
      random: REAL_RANDOM,
      log: this.#log,
      replica,
      voters: [replica],
      newChunk,
      machine: () => new PackedConversationMachine({ newChunk }),
      accounts: () => new DirectoryMachine(),
      render: renderConversation,
      queries: (reads) => queryHandlerOf(reads, this.#log),
      fatal: (error) => this.#fatal('the store cannot go on; the process ends', error),
    });
    await store.open();
    this.#opened = store;
  }

  async start(): Promise<void> {
    const store = this.#opened;
    invariant(store !== undefined, 'store-thread.opened-before-start');
    await store.start();
    this.#store = store;
  }

  connect(port: MessagePort): Promise<void> {
    this.#store?.attach(new MessagePortLink(port));
    return Promise.resolve();
  }

  metrics(): Promise<readonly MetricSample[]> {
    return Promise.resolve(this.#store?.metrics() ?? []);
  }

  async stop(): Promise<void> {
    await this.#store?.stop();
    await this.#sync?.terminate();
  }

  #storage(): StoreStorage {
    const { directory, keyFile, stateCacheBytes } = this.#options;
    const disk = new NodeDisk(directory);
    const keys = new KeyRing(disk, keyFile, REAL_RANDOM);
    const state = new RocksStateStore({
      binding: loadRocksBinding(),
      path: `${directory}/state`,
      keys,
      // Behind the lock: another process's start makes keys in the same directory.
      newDataKey: () => {
        keys.open();
        return keys.create('state', REAL_CLOCK.nowMs());
      },
      cacheBytes: stateCacheBytes,
    });
    return {
      state,
      recover: (applied) => recoverWal({ disk, keys, applied }),
      openWal: (recovery, listener) => this.#openWal(keys, recovery, listener),
    };
  }

  async #openWal(keys: KeyRing, recovery: WalRecovery, listener: WalListener): Promise<RemoteWal> {
    const { directory, wal, logLevel, name } = this.#options;
    const key = keys.create('wal', REAL_CLOCK.nowMs());
    keys.retain('wal', new Set([...recovery.keyNumbers, key.number]));
    const { port1, port2 } = new MessageChannel();
    const options: SyncThreadOptions = {
      port: port2,
      directory,
      key,
      tail: recovery.tail,
      wal,
      logLevel,
      name: `${name}-sync`,
    };
    this.#sync = new Worker(new URL('./sync-thread.js', import.meta.url), {
      workerData: options,
      transferList: [port2],
    });
    this.#sync.on('error', (error) => this.#fatal('the sync thread failed', error));
    const remote = new RemoteWal(portOf<SyncRequest, SyncReply>(port1), listener);
    await remote.start();
    return remote;
  }

  #fatal(message: string, error: Error): void {
    this.#log.error(message, { cause: String(error), reason: toParleyError(error).reason });
    // Ends this thread; the main thread sees the code and ends the process with it.
    process.exit(EXIT_STORE_FAILED);
  }
}

// The options are what the main thread put there; a worker has no other caller.
// oxlint-disable-next-line typescript/no-unsafe-type-assertion
const options = workerData as StoreThreadOptions;
const thread = new StoreThread(options);
serveCalls(options.control, thread, thread.log);
