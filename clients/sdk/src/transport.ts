/**
 * A carrier of frames (CONTRACT §3). Later carriers (binary WebSocket, long-poll, Connect) are other
 * implementations of this; nothing above knows which one runs.
 */
import type { ClientFrame, ServerFrame } from './contract.ts';

export interface TransportEvents {
  opened(): void;
  /** In the order of arrival; never after `closed`. */
  frames(frames: readonly ServerFrame[]): void;
  /** Exactly once, last. `code` as in CONTRACT §8; 1006 when the network broke. */
  closed(code: number, reason: string): void;
}

export interface TransportConnection {
  /** Frames keep their order. Silently dropped once it closed. */
  send(frames: readonly ClientFrame[]): void;
  /** No event follows. */
  close(code: number, reason: string): void;
}

export interface Transport {
  readonly name: 'websocket' | 'long-poll' | 'connect';
  /** Never throws: failure is `closed`. */
  open(url: string, events: TransportEvents): TransportConnection;
}
