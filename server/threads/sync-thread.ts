/**
 * The sync thread of one store: writes and syncs WAL frames, and does nothing else. Whatever goes
 * wrong with a write or a sync ends the process: the outcome is unknown, and nothing is retried.
 */
import { workerData, type MessagePort } from 'node:worker_threads';
import type { WalTail } from '../../storage-engine/contract.ts';
import type { DataKey } from '../../storage-engine/key-ring.ts';
import { NodeDisk } from '../../storage-engine/node-disk.ts';
import { SyncLoop, type SyncReply, type SyncRequest } from '../../storage-engine/wal/sync-loop.ts';
import { WalWriter, type WalOptions } from '../../storage-engine/wal/wal-writer.ts';
import { createLogger, type LogLevel } from '../log.ts';
import { REAL_CLOCK, REAL_TIMERS } from '../real-time.ts';
import { portOf } from './port.ts';

export interface SyncThreadOptions {
  readonly port: MessagePort;
  readonly directory: string;
  readonly key: DataKey;
  readonly tail: WalTail;
  readonly wal: WalOptions;
  readonly logLevel: LogLevel;
  readonly name: string;
}

/** Exit code of a process whose log cannot be written any more. */
const EXIT_LOG_FAILED = 70;

function main(options: SyncThreadOptions): void {
  const log = createLogger(options.logLevel, options.name);
  const disk = new NodeDisk(options.directory);
  const writer = new WalWriter({
    disk,
    key: options.key,
    tail: options.tail,
    clock: REAL_CLOCK,
    options: options.wal,
  });
  const loop = new SyncLoop({
    port: portOf<SyncReply, SyncRequest>(options.port),
    writer,
    timers: REAL_TIMERS,
    exit: (error) => {
      log.error(
        'the log could not be written; the process ends so that nothing unsynced is acknowledged',
        { cause: String(error) },
      );
      process.exit(EXIT_LOG_FAILED);
    },
  });
  loop.start();
}

// The options are what the store's thread put there; a worker has no other caller.
// oxlint-disable-next-line typescript/no-unsafe-type-assertion
main(workerData as SyncThreadOptions);
