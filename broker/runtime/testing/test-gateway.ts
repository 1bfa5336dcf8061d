/** The gateways' side of a Link, as tests of the store use it. */
import { readU53, viewOf } from '../../../core/bytes.ts';
import type { Timers } from '../../../core/clock.ts';
import type { ParleyError } from '../../../core/errors.ts';
import { invariant } from '../../../core/invariant.ts';
import { decodeError } from '../../../core/link-payload.ts';
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
} from '../../../core/record.ts';
import type { MemoryLink } from './memory-link.ts';

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

export interface Commit {
  readonly sequence: number;
  readonly queued: number;
  readonly replayed: boolean;
  readonly timeMs: number;
  readonly index: number;
  readonly head: number;
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
