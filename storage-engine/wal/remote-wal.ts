/** The Wal of a store loop whose frames a sync thread writes: the other end of a SyncLoop's port. */
import { ParleyError, isReason } from '../../core/errors.ts';
import type { Index, ShardId } from '../../core/ids.ts';
import { invariant } from '../../core/invariant.ts';
import type { Wal, WalListener, WalStats } from '../contract.ts';
import type { SyncPort, SyncReply, SyncRequest } from './sync-loop.ts';

const NO_STATS: WalStats = {
  frames: 0,
  bytes: 0,
  syncs: 0,
  syncMs: 0,
  syncMsMax: 0,
  segments: 0,
  segmentBytes: 0,
};

export class RemoteWal implements Wal {
  readonly #port: SyncPort<SyncRequest, SyncReply>;
  readonly #listener: WalListener;
  #isInFlight = false;
  #closing: Promise<void> | undefined;
  #onStarted: (() => void) | undefined;
  #onClosed: ((error?: Error) => void) | undefined;
  #isStarted = false;
  #failure: Error | undefined;
  #stats: WalStats = NO_STATS;

  constructor(port: SyncPort<SyncRequest, SyncReply>, listener: WalListener) {
    this.#port = port;
    this.#listener = listener;
  }

  /** Resolves when the sync thread has begun its segment. A failure goes to the listener. */
  start(): Promise<void> {
    const started = new Promise<void>((resolve) => {
      this.#onStarted = resolve;
    });
    this.#port.onMessage((reply) => this.#receive(reply));
    return started;
  }

  submit(frame: ArrayBuffer): void {
    invariant(!this.#isInFlight, 'wal.one-frame-in-flight');
    invariant(this.#isStarted && this.#closing === undefined, 'wal.open');
    this.#isInFlight = true;
    this.#port.post({ kind: 'frame', frame }, [frame]);
  }

  trim(flushed: ReadonlyMap<ShardId, Index>): void {
    if (this.#closing === undefined) this.#port.post({ kind: 'trim', flushed }, []);
  }

  close(): Promise<void> {
    const isOver = this.#failure !== undefined;
    invariant(!this.#isInFlight || isOver, 'wal.closed-without-frame-in-flight');
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    this.#closing ??= new Promise<void>((resolve, reject) => {
      this.#onClosed = (error) => (error === undefined ? resolve() : reject(error));
      this.#port.post({ kind: 'close' }, []);
    });
    return this.#closing;
  }

  stats(): WalStats {
    return this.#stats;
  }

  #receive(reply: SyncReply): void {
    switch (reply.kind) {
      case 'started':
        this.#isStarted = true;
        if (reply.isLow) this.#listener.spaceChanged(true);
        this.#onStarted?.();
        return;
      case 'synced':
        invariant(this.#isInFlight, 'wal.synced-was-in-flight');
        this.#isInFlight = false;
        if (reply.stats !== undefined) this.#stats = reply.stats;
        this.#listener.synced(reply.frame);
        return;
      case 'space':
        this.#listener.spaceChanged(reply.isLow);
        return;
      case 'failed': {
        const { reason, message, details } = reply.error;
        const error = new ParleyError(isReason(reason) ? reason : 'INVARIANT', message, details);
        this.#listener.failed(error);
        this.#failure = error;
        this.#onClosed?.(error);
        return;
      }
      case 'closed':
        this.#onClosed?.();
        return;
    }
  }
}
