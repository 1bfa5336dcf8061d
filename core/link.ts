/**
 * Link: the one transport of the hot path, gateway ↔ broker and node ↔ node. Ordered slabs of
 * records, byte credits, a close reason. Carriers: MessagePortLink inside a process, GrpcLink
 * between processes (server/links/); both pass tests/link-contract.ts.
 */
import type { ParleyError } from './errors.ts';
import type { Slab } from './record.ts';

/** Bytes that may be under way on one Link in one direction before `isWritable` turns false. */
export const LINK_WINDOW_BYTES: number = 16 * 1024 * 1024;
/** Beyond this many unshipped bytes the Link closes with SLOW_CONSUMER: it never grows without bound. */
export const LINK_QUEUE_BYTES_MAX: number = 256 * 1024 * 1024;

export interface LinkEvents {
  /** A slab arrived. It now belongs to the receiver, who may recycle it. One given back is empty. */
  readonly slab: (slab: Slab) => void;
  /** Credits came back after `isWritable` had been false. */
  readonly writable: () => void;
  /** The Link is over: nothing arrives or leaves any more. `reason` undefined = closed in good order. */
  readonly closed: (reason: ParleyError | undefined) => void;
}

export interface Link {
  /** Before `listen`, arriving slabs wait. May be called once. */
  listen(events: LinkEvents): void;
  /**
   * Ships a slab, in order, and takes it over. When `isWritable` is false the slab is still taken
   * (up to LINK_QUEUE_BYTES_MAX), but the caller should hold back what it can refuse.
   */
  send(slab: Slab): void;
  /**
   * Takes over a slab whose contents nobody needs any more: where both sides share memory the other
   * side may fill it again. Without it, a side that sends more than it gets makes buffers without end.
   * An empty one is not sent around again: it is dropped.
   */
  giveBack(slab: Slab): void;
  readonly isWritable: boolean;
  /** Bytes sent and not yet consumed by the other side. */
  readonly bytesUnderWay: number;
  /** Idempotent. The other side's `closed` gets the reason. */
  close(reason?: ParleyError): void;
}
