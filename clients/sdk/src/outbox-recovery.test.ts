import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { FakeHost, settle } from '../test/fake-host.ts';
import type { FakeServer } from '../test/fake-server.ts';
import { OutboxScript } from '../test/outbox-script.ts';
import { ANA, BO, type Phone, say, World } from '../test/world.ts';
import type { MessageRef } from './client-interface.ts';
import type { ClientFrame, ServerFrame } from './contract.ts';
import { ClientError } from './errors.ts';
import type { OutboxEntry } from './outbox-entry.ts';
import { Outbox } from './outbox.ts';
import { SavedStore } from './saved-store.ts';
import { memoryStore } from './stores/memory.ts';

/** A phone whose next send is refused as an older database's, and what the server says to its calls. */
async function refusedOnce(
  answer: (call: NonNullable<ClientFrame['call']>, server: FakeServer) => ServerFrame | undefined,
): Promise<{ world: World; ana: Phone; refs: readonly MessageRef[] }> {
  const world = new World();
  const ana = await world.started(ANA);
  world.server.timeMs = ana.host.nowMs();
  const chat = ana.client.direct(BO);
  chat.send(say('1'));
  await world.advance(300);
  let isRefused = false;
  world.server.onRequest = (frame) => {
    if (frame.call !== undefined) return answer(frame.call, world.server);
    if (frame.send === undefined || isRefused) return undefined;
    isRefused = true;
    return { error: { reason: 'IDEMPOTENCY_CONFLICT' } };
  };
  const refs = [chat.send(say('2'))];
  await world.advance(100);
  refs.push(chat.send(say('3')));
  return { world, ana, refs };
}

function said(world: World): (string | undefined)[] {
  return world.server.direct(ANA, BO).rows.map((row) => row.body?.message?.text?.body);
}

describe('recovery of an outbox', () => {
  it('one that fails while the connection lives is tried again, no sooner than it was asked to (S5)', async () => {
    const atMs: number[] = [];
    const phones: Phone[] = [];
    const { world, ana, refs } = await refusedOnce(({ method }) => {
      if (method !== 'Sync.SyncConversation') return undefined;
      atMs.push(phones[0]?.host.monotonicMs() ?? 0);
      if (atMs.length > 1) return undefined;
      return { error: { reason: 'OVERLOADED', retryAfterMs: 7_000 } };
    });
    phones.push(ana);
    await world.advance(6_500);
    assert.equal(atMs.length, 1);
    await world.advance(2_000);
    assert.deepEqual(said(world), ['1', '2', '3']);
    for (const ref of refs) assert.equal(ref.state.get().is, 'SENT');
  });

  it('one that is not answered in time is tried again on the same connection (S5)', async () => {
    let lost = 0;
    const { world, refs } = await refusedOnce(({ method }, server) => {
      if (method !== 'Sync.SyncConversation' || lost > 0) return undefined;
      server.onFrame = (frame) => {
        if (frame.result === undefined || lost > 0) return [frame];
        lost += 1;
        return [];
      };
      return undefined;
    });
    const { attempts } = world.server;
    await world.advance(30_000);
    assert.equal(lost, 1);
    assert.equal(world.server.attempts, attempts);
    for (const ref of refs) assert.equal(ref.state.get().is, 'SENT');
  });

  it('one that goes on failing is tried ever more rarely, and ends well when it can (S5)', async () => {
    let tries = 0;
    let isBroken = true;
    const { world, refs } = await refusedOnce(({ method }) => {
      if (method !== 'Sync.SyncConversation' || !isBroken) return undefined;
      tries += 1;
      return { error: { reason: 'RATE_LIMITED' } };
    });
    await world.advance(600_000);
    assert.ok(tries > 20 && tries < 60, `${tries} tries`);
    for (const ref of refs) assert.equal(ref.state.get().is, 'SENDING');
    isBroken = false;
    await world.advance(31_000);
    assert.deepEqual(said(world), ['1', '2', '3']);
    for (const ref of refs) assert.equal(ref.state.get().is, 'SENT');
  });

  it('what ends after its connection counts for nothing, and does not end the next one’s (S5)', () => {
    const script = new OutboxScript();
    script.live();
    script.send('a');
    script.refuse('a', { reason: 'IDEMPOTENCY_CONFLICT' });
    script.lost();
    script.recovered('cnv', 'box-2');
    script.hidden('cnv', 'NOT_A_MEMBER');
    script.step({ is: 'unrecovered', conversationId: 'cnv', retryAfterMs: 60_000 });
    assert.equal(script.machine.outboxId, 'box-1');
    assert.equal(script.machine.stateOf('a')?.is, 'SENDING');
    script.live();
    assert.deepEqual(script.recovers, ['cnv', 'cnv']);
  });

  it('a new connection does not wait for what the last one was asked to', () => {
    const script = new OutboxScript();
    script.live();
    script.send('a');
    script.refuse('a', { reason: 'TOO_OLD' });
    script.step({ is: 'unrecovered', conversationId: 'cnv', retryAfterMs: 60_000 });
    script.pass(59_000);
    assert.deepEqual(script.recovers, ['cnv']);
    script.lost();
    script.live();
    assert.deepEqual(script.recovers, ['cnv', 'cnv']);
    script.step({ is: 'unrecovered', conversationId: 'cnv', retryAfterMs: 0 });
    script.pass(500);
    assert.deepEqual(script.recovers, ['cnv', 'cnv', 'cnv']);
  });

  it('what could not be compared before the list was read is compared when it is (S5)', () => {
    const script = new OutboxScript();
    script.live();
    script.send('a');
    script.refuse('a', { reason: 'TOO_OLD' });
    script.step({ is: 'unrecovered', conversationId: 'cnv', retryAfterMs: 0 });
    script.pass(500);
    script.step({ is: 'unrecovered', conversationId: 'cnv', retryAfterMs: 60_000 });
    script.pass(1_000);
    assert.equal(script.recovers.length, 2);
    script.step({ is: 'listed' });
    assert.equal(script.recovers.length, 3);
  });

  it('two are never at it at once, whatever connections come and go (S5)', async () => {
    const { outbox, recoveries, host } = await refusedOutbox();
    assert.equal(recoveries.length, 1);
    outbox.live(false);
    outbox.live(true);
    await settle();
    assert.equal(recoveries.length, 1);
    recoveries[0]?.reject(new ClientError('BACKEND_UNAVAILABLE', 'the connection before'));
    await settle();
    await host.advance(1_000);
    assert.equal(recoveries.length, 2);
    recoveries[1]?.resolve(true);
    await settle();
    assert.equal(outbox.machine.entriesOf('cnv')[0]?.number?.outboxId, outbox.machine.outboxId);
    await outbox.stop();
    assert.equal(host.timerCount, 0);
  });

  it('what may not be asked so again is settled as unknown, not asked for ever (S5)', async () => {
    const { outbox, recoveries, host } = await refusedOutbox();
    recoveries[0]?.reject(new ClientError('BAD_FIELD', 'this version asks wrongly'));
    await host.advance(60_000);
    assert.equal(recoveries.length, 1);
    const failed = { is: 'FAILED', reason: 'COMMIT_UNKNOWN', retryable: true };
    assert.deepEqual(outbox.machine.stateOf('a'), failed);
    await outbox.stop();
  });
});

/** An outbox by itself, whose one send shows that its database is older than what it sent. */
async function refusedOutbox(): Promise<{
  outbox: Outbox;
  recoveries: { resolve(isWhole: boolean): void; reject(error: ClientError): void }[];
  host: FakeHost;
}> {
  const host = new FakeHost();
  const store = new SavedStore(memoryStore(), {
    unsaved: () => undefined,
    fenced: () => undefined,
  });
  await store.open();
  await store.claim();
  const recoveries: { resolve(isWhole: boolean): void; reject(error: ClientError): void }[] = [];
  let refusals = 1;
  const outbox = new Outbox({
    former: undefined,
    store,
    host,
    hooks: {
      request: (entries: readonly OutboxEntry[], answered) => {
        for (const entry of entries)
          if (refusals-- > 0) answered(entry, { error: { reason: 'IDEMPOTENCY_CONFLICT' } });
      },
      me: () => ({ userId: ANA, deviceId: 'dev_ana' }),
      committed: () => undefined,
      cached: () => undefined,
      failed: () => undefined,
      changed: () => undefined,
      recover: () => new Promise((resolve, reject) => recoveries.push({ resolve, reject })),
    },
  });
  await outbox.load();
  outbox.live(true);
  const action = { is: 'message' as const, content: say('a') };
  outbox.add({ key: 'a', conversationId: 'cnv', to: 'cnv', action }, () => []);
  await settle();
  return { outbox, recoveries, host };
}
