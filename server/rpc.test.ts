import assert from 'node:assert/strict';
import { MessageChannel } from 'node:worker_threads';
import { after, describe, it } from 'mocha';
import { ParleyError } from '../core/errors.ts';
import { SILENT } from '../core/observe.ts';
import { callsTo, serveCalls } from './rpc.ts';

interface Adder {
  add(a: number, b: number): Promise<number>;
  refuse(): Promise<void>;
  fault(): Promise<void>;
  missing(): Promise<void>;
}

describe('calls between threads', () => {
  const { port1, port2 } = new MessageChannel();
  after(() => port1.close());
  serveCalls(
    port1,
    {
      add: async (a: number, b: number) => a + b,
      refuse: async () => {
        throw new ParleyError(
          'ROLE_REQUIRED',
          'only owners',
          { role: 'owner' },
          { retryAfterMs: 5 },
        );
      },
      fault: () => {
        throw new TypeError('a secret detail');
      },
    },
    SILENT,
  );
  const adder = callsTo<Adder>(port2);

  it('answer each its own, in whatever order', async () => {
    assert.deepEqual(await Promise.all([adder.add(1, 2), adder.add(3, 4)]), [3, 7]);
  });
  it('carry a refusal with reason, details and delay', async () => {
    await assert.rejects(adder.refuse(), {
      reason: 'ROLE_REQUIRED',
      details: { role: 'owner' },
      retryAfterMs: 5,
    });
  });
  it('tell nothing of a fault but that it was one', async () => {
    await assert.rejects(adder.fault(), (error: ParleyError) => {
      assert.equal(error.reason, 'INVARIANT');
      assert.doesNotMatch(error.message, /secret/);
      return true;
    });
  });
  it('end at the deadline, but for those that may take as long as they need', async () => {
    const channel = new MessageChannel();
    const slow = (): Promise<string> =>
      new Promise((done) => setTimeout(() => done('recovered'), 60));
    serveCalls(channel.port1, { start: slow, metrics: slow }, SILENT);
    const store = callsTo<{ start(): Promise<string>; metrics(): Promise<string> }>(channel.port2, {
      unbounded: ['start'],
      deadlineMs: 5,
    });
    await assert.rejects(store.metrics(), { reason: 'DEADLINE' });
    assert.equal(await store.start(), 'recovered');
    channel.port1.close();
  });
  it('refuse a method that is not served', async () => {
    await assert.rejects(adder.missing(), { reason: 'PROTOCOL_UNSUPPORTED' });
  });
});
