import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { ANA, BO, messages, type Phone, say, texts, World } from '../test/world.ts';
import type { Conversation } from './client-interface.ts';
import type { LogRow } from './contract.ts';
import type { OutboxEntry } from './outbox-entry.ts';
import { type CacheTable, type OwnTable, type StorePort, under } from './stores/store-port.ts';
import { memoryStore } from './stores/memory.ts';

const OWN: readonly OwnTable[] = ['meta', 'outbox', 'lanes', 'drafts', 'groups'];
const CACHE: readonly CacheTable[] = ['meta', 'conversations', 'messages', 'users'];

/** A database as it was: without its cache it is one that the browser cleared, too. */
async function copyOf(store: StorePort, what: 'whole' | 'own'): Promise<StorePort> {
  const copy = memoryStore();
  const fence = await copy.claim();
  for (const table of OWN) {
    const puts = (await store.readOwn(table, under())).map((pair) => ({ table, ...pair }));
    await copy.writeOwn(puts, fence);
  }
  for (const table of what === 'own' ? [] : CACHE) {
    const puts = (await store.readCache(table, under())).map((pair) => ({ table, ...pair }));
    await copy.writeCache(puts, fence);
  }
  return copy;
}

/** Ana's phone, and backups of it. */
class Restoring {
  readonly world: World = new World();
  readonly #store: StorePort = memoryStore();
  #seed = 90;

  first(): Promise<Phone> {
    return this.world.started(ANA, { store: this.#store, deviceId: 'dev_ana' });
  }

  async offline(): Promise<void> {
    this.world.server.isUp = false;
    this.world.server.cut();
    await this.world.advance(100);
  }

  backup(): Promise<StorePort> {
    return copyOf(this.#store, 'own');
  }

  /** With its cache: some were sent to Bo, one was written without a network. */
  async wholeBackup(sent: readonly string[], kept: string): Promise<StorePort> {
    const ana = await this.first();
    for (const text of sent) ana.client.direct(BO).send(say(text));
    await this.world.advance(300);
    await this.offline();
    ana.client.direct(BO).send(say(kept));
    await this.world.advance(100);
    await ana.client.stop();
    this.world.server.isUp = true;
    return copyOf(this.#store, 'whole');
  }

  /** Without its cache, behind a message that was dropped since: no number is what it was. */
  async skewedBackup(phone: Phone, chat: Conversation, write: () => void): Promise<StorePort> {
    await this.offline();
    const dropped = chat.send(say('dropped'));
    dropped.accepted.catch(() => undefined);
    write();
    await this.world.advance(100);
    const backup = await this.backup();
    assert.equal(dropped.cancel(), true);
    await this.live(phone, 5_000);
    return backup;
  }

  async live(phone: Phone, ms: number): Promise<void> {
    this.world.server.isUp = true;
    await this.world.advance(ms);
    await phone.client.stop();
  }

  /** On an old database, with other random numbers; what it hears takes a while to come. */
  restored(store: StorePort): Phone {
    const phone = this.world.phone(ANA, { store, deviceId: 'dev_ana', seed: this.#seed++ });
    const isOnItsWay = new WeakSet<object>();
    this.world.server.onFrame = (frame, connection) => {
      if (isOnItsWay.has(frame)) return [frame];
      isOnItsWay.add(frame);
      phone.host.after(100, () => connection.pushRaw(frame));
      return [];
    };
    return phone;
  }
}

/** What Ana said, in the order of the log; `-` has no text. */
function saidIn(rows: readonly LogRow[]): string[] {
  return rows
    .filter(({ senderUserId }) => senderUserId === ANA)
    .map(({ body }) => (body?.edit?.message ?? body?.message)?.text?.body ?? '-');
}

describe('a restored database', () => {
  it('a restored phone reuses a number: what is there settles by key, the rest goes under a new outbox (S5, CONTRACT §9 11)', async () => {
    const r = new Restoring();
    const backup = await r.wholeBackup(['1', '2'], 'kept');
    const first = await r.first();
    await r.world.advance(2_000);
    first.client.direct(BO).send(say('after the backup'));
    await r.live(first, 500);
    // The backup still has 'kept' queued, and its next numbers are used up.
    const restored = r.restored(backup);
    await restored.client.start();
    const timeline = restored.client.direct(BO).timeline();
    restored.client.direct(BO).send(say('new one'));
    await r.world.advance(5_000);
    const expected = ['1', '2', 'kept', 'after the backup', 'new one'];
    const { rows } = r.world.server.direct(ANA, BO);
    assert.deepEqual(saidIn(rows), expected);
    assert.deepEqual(texts(timeline), expected);
    assert.notEqual(rows[4]?.outboxId, rows[0]?.outboxId);
  });

  it('a restored phone finds what is there also behind pages that were cut for their size (S5)', async () => {
    const r = new Restoring();
    const backup = await r.wholeBackup(['1'], 'kept');
    const first = await r.first();
    const later = Array.from({ length: 40 }, (_, i) => `later ${i}`);
    for (const text of later) first.client.direct(BO).send(say(text));
    await r.live(first, 5_000);
    // More than a resume brings.
    const talk = r.world.server.direct(ANA, BO);
    for (let i = 0; i < 300; i++) r.world.server.say(talk, BO, `away ${i}`);
    r.world.server.pageMessagesMax = 40;
    const restored = r.restored(backup);
    await restored.client.start();
    await r.world.advance(10_000);
    assert.deepEqual(saidIn(talk.rows), ['1', 'kept', ...later]);
    assert.deepEqual(await restored.store.readOwn('outbox', under()), []);
  });

  for (const away of [0, 40, 300])
    it(`what waited was sent since, and ${away} others spoke: each stands once (S5, CONTRACT §9 11)`, async () => {
      const r = new Restoring();
      const ana = await r.first();
      await r.offline();
      const texts = Array.from({ length: 30 }, (_, i) => `c${i}`);
      for (const text of texts) ana.client.direct(BO).send(say(text));
      await r.world.advance(100);
      const backup = await r.backup();
      await r.live(ana, 30_000);
      const talk = r.world.server.direct(ANA, BO);
      for (let i = 0; i < away; i++) r.world.server.say(talk, BO, `away ${i}`);
      const restored = r.restored(backup);
      await restored.client.start();
      // Rows of a page settle some of it, whose numbers say nothing about the others.
      restored.client.direct(BO).timeline();
      restored.client.direct(BO).send(say('new'));
      await r.world.advance(30_000);
      assert.deepEqual(saidIn(talk.rows), [...texts, 'new']);
      assert.deepEqual(await restored.store.readOwn('outbox', under()), []);
    });

  it('a number that a refusal skipped proves nothing about those above it (S5, G3)', async () => {
    const r = new Restoring();
    const ana = await r.first();
    const chat = ana.client.direct(BO);
    const { key } = chat.send(say('first'));
    await r.world.advance(300);
    await r.offline();
    chat.edit(key, say('edited')).accepted.catch(() => undefined);
    for (const text of ['c', 'd', 'e']) chat.send(say(text));
    await r.world.advance(100);
    const backup = await r.backup();
    const talk = r.world.server.direct(ANA, BO);
    // So that the edit is refused, and was refused before.
    r.world.server.append(talk, BO, { delete: { target: { sequence: 1 } } });
    await r.live(ana, 30_000);
    for (let i = 0; i < 60; i++) r.world.server.say(talk, BO, `away ${i}`);
    await r.restored(backup).client.start();
    await r.world.advance(30_000);
    assert.deepEqual(saidIn(talk.rows), ['-', 'c', 'd', 'e']);
  });

  it('is not compared with a conversation that the list has not named yet (S5)', async () => {
    const r = new Restoring();
    const ana = await r.first();
    const group = ana.client.createGroup({ name: 'g', members: [BO] });
    group.send(say('one'));
    await r.world.advance(500);
    const backup = await r.skewedBackup(ana, group, () => void group.send(say('x')));
    let refusals = 0;
    r.world.server.onRequest = ({ call }) => {
      if (call?.method !== 'Sync.ListConversations' || refusals++ > 0) return undefined;
      return { error: { reason: 'OVERLOADED', retryAfterMs: 1_000 } };
    };
    await r.restored(backup).client.start();
    await r.world.advance(60_000);
    assert.ok(refusals > 1);
    const rows = r.world.server.conversations.get(group.id)?.rows ?? [];
    // What was dropped after the backup is said now, for the backup knows nothing of that.
    assert.deepEqual(saidIn(rows).slice(-3), ['one', 'x', 'dropped']);
  });

  it('what failed before the backup and was tried again after it is found however late (S5, S6)', async () => {
    const r = new Restoring();
    const ana = await r.first();
    const chat = ana.client.direct(BO);
    chat.send(say('one'));
    await r.world.advance(300);
    await r.offline();
    const late = chat.send(say('x'));
    late.accepted.catch(() => undefined);
    await ana.host.advance(24 * 3_600_000 + 5_000);
    assert.equal(late.state.get().is, 'FAILED');
    const backup = await r.backup();
    r.world.server.isUp = true;
    await r.world.advance(40_000);
    chat.send(say('y'));
    await r.world.advance(1_000);
    late.retry();
    await r.live(ana, 1_000);
    const talk = r.world.server.direct(ANA, BO);
    for (let i = 0; i < 500; i++) r.world.server.say(talk, BO, `away ${i}`);
    const restored = r.restored(backup);
    // Its clock is days ahead.
    const nowMs = restored.host.nowMs.bind(restored.host);
    restored.host.nowMs = () => nowMs() + 5 * 86_400_000;
    await restored.client.start();
    const timeline = restored.client.direct(BO).timeline();
    await r.world.advance(1_000);
    messages(timeline)
      .find((row) => row.content?.text?.body === 'x')
      ?.pending?.retry();
    await r.world.advance(30_000);
    assert.deepEqual(saidIn(talk.rows), ['one', 'y', 'x']);
    assert.deepEqual(await restored.store.readOwn('outbox', under()), []);
  });

  it('the same backup twice: what the first restored phone said under its new outbox stands once (S5)', async () => {
    const r = new Restoring();
    const ana = await r.first();
    const group = ana.client.createGroup({ name: 'g', members: [BO] });
    await r.world.advance(500);
    await r.offline();
    const refs = ['x1', 'x2', 'x3'].map((text) => group.send(say(text)));
    await r.world.advance(100);
    const backup = await r.backup();
    // Only the direct's numbers are used by what the backup does not know.
    ana.client.direct(BO).send(say('unknown'));
    for (const ref of refs) {
      ref.accepted.catch(() => undefined);
      assert.equal(ref.cancel(), true);
    }
    await r.live(ana, 5_000);
    // The first time the group has to wait, until there is a new outbox.
    let isSlow = true;
    r.world.server.onRequest = ({ send }) => {
      if (send?.to !== group.id || !isSlow) return undefined;
      isSlow = false;
      return { error: { reason: 'SLOW_MODE', retryAfterMs: 3_000 } };
    };
    for (const text of ['new 1', 'new 2']) {
      const restored = r.restored(await copyOf(backup, 'own'));
      await restored.client.start();
      restored.client.direct(BO).send(say(text));
      await r.world.advance(10_000);
      await restored.client.stop();
      const rows = r.world.server.conversations.get(group.id)?.rows ?? [];
      const direct = saidIn(r.world.server.direct(ANA, BO).rows);
      assert.equal(direct.at(-1), text);
      const said = saidIn(rows).filter((each) => each !== '-');
      assert.deepEqual(said, ['x1', 'x2', 'x3']);
    }
  });

  for (const isNumbered of [false, true])
    it(`in again since, and may not read what may hold ${isNumbered ? 'a number: it asks' : 'it: its writer decides'} (S5, S6)`, async () => {
      const r = new Restoring();
      const ana = await r.first();
      const group = ana.client.createGroup({ name: 'g', members: [BO] });
      await r.world.advance(500);
      const talk = r.world.server.conversations.get(group.id);
      assert.ok(talk);
      // It left, and the answer got lost; or it did not leave before the backup was made.
      r.world.server.onFrame = (frame) => (frame.commit === undefined ? [frame] : []);
      if (!isNumbered) await r.offline();
      group.send(say('x'));
      await r.world.advance(100);
      const backup = await r.backup();
      r.world.server.onFrame = (frame) => [frame];
      await r.live(ana, 5_000);
      for (let i = 0; i < 5; i++) r.world.server.say(talk, BO, `away ${i}`);
      const member = talk.members.get(ANA);
      assert.ok(member);
      talk.members.set(ANA, { ...member, historyFrom: talk.head });
      const restored = r.restored(backup);
      await restored.client.start();
      const timeline = restored.client.conversation(group.id).timeline();
      await r.world.advance(10_000);
      assert.deepEqual(saidIn(talk.rows), ['x']);
      const x = (): ReturnType<typeof messages>[number] | undefined =>
        messages(timeline).find((row) => row.content?.text?.body === 'x');
      const unknown = { is: 'FAILED', reason: 'COMMIT_UNKNOWN', retryable: true };
      if (isNumbered) assert.deepEqual(await restored.store.readOwn('outbox', under()), []);
      else assert.deepEqual(x()?.state?.get(), unknown);
      // What is written now is not held up.
      restored.client.conversation(group.id).send(say('now'));
      await r.world.advance(1_000);
      assert.deepEqual(saidIn(talk.rows), ['x', 'now']);
      if (isNumbered) return;
      x()?.pending?.retry();
      await r.world.advance(1_000);
      assert.deepEqual(saidIn(talk.rows), ['x', 'now', 'x']);
    });

  it('an edit is looked for in all rows above what was known when it was written, and in no others (S5)', async () => {
    const r = new Restoring();
    const ana = await r.first();
    const chat = ana.client.direct(BO);
    const { key } = chat.send(say('one'));
    const talk = r.world.server.direct(ANA, BO);
    await r.world.advance(300);
    for (let i = 0; i < 20; i++) r.world.server.say(talk, BO, `before ${i}`);
    await r.world.advance(300);
    const backup = await r.skewedBackup(ana, chat, () => {
      for (const text of ['edited', 'edited again']) chat.edit(key, say(text));
    });
    // The second one stands behind more than a page of rows.
    const [second] = talk.rows.splice(22, 1);
    assert.equal(second?.body?.edit?.message?.text?.body, 'edited again');
    for (let i = 0; i < 450; i++) r.world.server.say(talk, BO, `away ${i}`);
    talk.rows.push({ ...second, sequence: talk.head + 1 });
    const cursors: unknown[] = [];
    r.world.server.onRequest = ({ call }) => {
      if (call?.method === 'Messages.ListRows')
        cursors.push((call.request as { cursor: { sequence: number } }).cursor.sequence);
      return undefined;
    };
    const restored = r.restored(backup);
    await restored.client.start();
    await r.world.advance(10_000);
    assert.deepEqual(saidIn(talk.rows), ['one', 'edited', 'edited again', 'dropped']);
    assert.deepEqual(await restored.store.readOwn('outbox', under()), []);
    assert.equal(cursors[0], 21);
  });

  it('what was known in another epoch says nothing about this one (S5)', async () => {
    const r = new Restoring();
    const ana = await r.first();
    const chat = ana.client.direct(BO);
    chat.send(say('one'));
    await r.world.advance(300);
    const backup = await r.skewedBackup(ana, chat, () => void chat.send(say('two')));
    // More than a sync brings.
    const talk = r.world.server.direct(ANA, BO);
    for (let i = 0; i < 60; i++) r.world.server.say(talk, BO, `away ${i}`);
    const fence = await backup.claim();
    for (const { key, value } of await backup.readOwn('outbox', under())) {
      const changed = { ...(value as OutboxEntry), above: { epoch: 6, sequence: 1_000 } };
      await backup.writeOwn([{ table: 'outbox', key, value: changed }], fence);
    }
    await r.restored(backup).client.start();
    await r.world.advance(10_000);
    assert.deepEqual(saidIn(talk.rows), ['one', 'two', 'dropped']);
  });

  it('what merely waited over a restart costs one sync of its conversation, and a page only if others spoke (S5)', async () => {
    for (const away of [0, 3]) {
      const r = new Restoring();
      const ana = await r.first();
      ana.client.direct(BO).send(say('one'));
      await r.world.advance(300);
      await r.offline();
      ana.client.direct(BO).send(say('two'));
      await r.world.advance(100);
      await ana.client.stop();
      const talk = r.world.server.direct(ANA, BO);
      for (let i = 0; i < away; i++) r.world.server.say(talk, BO, `away ${i}`);
      r.world.server.isUp = true;
      const calls: string[] = [];
      r.world.server.onRequest = ({ call }) => {
        if (call?.method === 'Sync.SyncConversation' || call?.method === 'Messages.List')
          calls.push(`${call.method} ${String((call.request as { limit?: number }).limit)}`);
        return undefined;
      };
      await r.first();
      assert.deepEqual(saidIn(talk.rows), ['one', 'two']);
      const page = away === 0 ? [] : [`Messages.List ${away}`];
      assert.deepEqual(calls, ['Sync.SyncConversation 50', ...page]);
    }
  });
});
