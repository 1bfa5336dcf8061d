import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { describe, it } from 'mocha';
import { ParleyError } from '../../core/errors.ts';
import { encodeId } from '../../core/ids.ts';
import { codecOf } from '../../proto/codec.ts';
import {
  ListRowsRequestSchema,
  ListRowsResponseSchema,
} from '../../proto/gen/parley/client/v1/messages_pb.ts';
import type { StoreLink } from '../store-link.ts';
import { Subscriptions } from './subscribe.ts';

const EPOCH = 7;
const RAW = new Uint8Array(16).fill(0x83);

type Answer = (outcome: ParleyError | { bytes: Uint8Array }) => void;

/** A subscriber whose reads are answered when the test says so. */
class Script extends EventEmitter {
  readonly said: { rows?: { rows: { sequence: number }[] }; caughtUp?: boolean }[] = [];
  readonly reads: { readonly from: number | undefined; readonly answer: Answer }[] = [];
  readonly subscriptions: Subscriptions;
  readonly request: object;
  cancelled = false;

  constructor(conversations: object[]) {
    super();
    this.request = { conversations };
    const link = {
      subscribe: () => undefined,
      query: (_address: object, bytes: Uint8Array, answer: Answer) => {
        const { cursor } = codecOf(ListRowsRequestSchema).decode(bytes);
        this.reads.push({ from: cursor?.sequence, answer });
      },
    };
    this.subscriptions = new Subscriptions(link as unknown as StoreLink);
    this.subscriptions.open(this as never);
  }

  write(said: object): boolean {
    this.said.push(said);
    return true;
  }

  push(head: number): void {
    this.subscriptions.pushed(RAW, head);
  }

  /** Answers the oldest read that waits, as the log stood at `head`. */
  log(head: number): void {
    const read = this.reads.shift();
    assert.ok(read !== undefined, 'nothing is being read');
    const { from: after = 0 } = read;
    const sequences = Array.from({ length: Math.max(0, head - after) }, (_, i) => i);
    const bytes = codecOf(ListRowsResponseSchema).encode({
      rows: sequences.map((i) => ({ sequence: after + i + 1 })),
      cursor: { epoch: EPOCH, sequence: Math.max(head, after) },
      head,
    });
    read.answer({ bytes });
  }

  unknown(): void {
    this.reads.shift()?.answer(new ParleyError('CONVERSATION_UNKNOWN', 'there is none', {}));
  }

  get rows(): number[] {
    return this.said.flatMap(({ rows }) => rows?.rows.map(({ sequence }) => sequence) ?? []);
  }

  get isCaughtUp(): boolean {
    return this.said.some(({ caughtUp }) => caughtUp === true);
  }
}

const conversationId = encodeId('cnv', RAW);
const from = (sequence: number): object => ({ conversationId, cursor: { epoch: EPOCH, sequence } });

describe('a subscription of a service', () => {
  it('reads from its cursor on, says that it caught up once, and follows pushes', () => {
    const script = new Script([from(2)]);
    script.log(4);
    assert.deepEqual(script.rows, [3, 4]);
    assert.ok(script.isCaughtUp);
    script.push(5);
    script.log(5);
    assert.deepEqual(script.rows, [3, 4, 5]);
    assert.equal(script.said.filter(({ caughtUp }) => caughtUp).length, 1);
  });

  it('a refusal is emitted, for a stream that is destroyed never ends for its caller', () => {
    const script = new Script([from(1)]);
    const refusals: Error[] = [];
    script.on('error', (error: Error) => refusals.push(error));
    script.reads[0]?.answer(new ParleyError('SCOPE_REQUIRED', 'not yours', {}));
    assert.match(refusals[0]?.message ?? '', /not yours/);
    assert.equal(script.subscriptions.count, 0);
  });

  it('sequence 0 without an epoch is the first row, not a cursor that is void', () => {
    const script = new Script([{ conversationId, cursor: { sequence: 0 } }]);
    assert.equal(script.reads[0]?.from, undefined);
    script.log(2);
    assert.deepEqual(script.rows, [1, 2]);
  });

  it('a row that is pushed while an empty page is read is not left lying', () => {
    const script = new Script([from(4)]);
    script.push(5);
    script.log(4);
    script.log(5);
    assert.deepEqual(script.rows, [5]);
    assert.equal(script.reads.length, 0);
  });

  it('a conversation that nobody has written to does not keep others from being caught up', () => {
    const script = new Script([{ conversationId }]);
    script.unknown();
    assert.ok(script.isCaughtUp);
    script.push(1);
    script.log(1);
    assert.deepEqual(script.rows, [1]);
  });

  it('its first row, pushed while it was still unknown, is read', () => {
    const script = new Script([{ conversationId }]);
    script.push(1);
    script.unknown();
    script.log(1);
    assert.deepEqual(script.rows, [1]);
  });
  it('who left before it began follows nothing', () => {
    const script = new Script([{ conversationId: encodeId('cnv', RAW) }]);
    assert.equal(script.subscriptions.count, 1);
    script.emit('cancelled');
    assert.equal(script.subscriptions.count, 0);
    script.cancelled = true;
    script.subscriptions.open(script as never);
    assert.equal(script.subscriptions.count, 0);
  });
});
