import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { under } from './stores/store-port.ts';
import { ANA, BO, CY, say, World } from '../test/world.ts';

describe('groups made offline', () => {
  it('an offline-made group keeps its sends until Create answered, then in order (CONTRACT §9 3)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    world.server.isUp = false;
    world.server.cut();
    await world.advance(100);
    const crew = ana.client.createGroup({ name: 'Crew', members: [BO, CY] });
    assert.equal(crew.info.get().name, 'Crew');
    assert.equal(crew.info.get().onServer, false);
    crew.send(say('one'));
    crew.send(say('two'));
    await world.advance(100);
    await ana.client.stop();
    world.server.isUp = true;
    const again = await world.started(ANA, { store: ana.store });
    await world.advance(1_000);
    const group = world.server.conversations.get(crew.id);
    assert.deepEqual(
      group?.rows.map((row) => row.body?.message?.text?.body ?? 'created'),
      ['created', 'one', 'two'],
    );
    assert.equal(again.client.conversation(crew.id).info.get().onServer, true);
    assert.equal(again.client.conversations({ filter: 'groups' }).get().total, 1);
  });

  it('a group made offline and sent to after a reload numbers its sends in this outbox (S5)', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    world.server.onRequest = (frame) =>
      frame.call === undefined ? undefined : { error: { reason: 'OVERLOADED', retryAfterMs: 500 } };
    const { id } = ana.client.createGroup({ name: 'Crew', members: [BO] });
    await world.advance(100);
    ana.crash();
    const again = await world.started(ANA, { store: ana.store });
    const ref = again.client.conversation(id).send(say('one'));
    const outboxes: (string | undefined)[] = [];
    world.server.onRequest = (frame) => {
      if (frame.send !== undefined) outboxes.push(frame.send.outboxId);
      return undefined;
    };
    await world.advance(10_000);
    assert.equal((await ref.accepted).sequence, 2);
    assert.deepEqual(
      outboxes.map((outbox) => outbox?.length),
      [36],
    );
  });

  it('sends of a group that was refused stay, and say so', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    world.server.onRequest = (frame) =>
      frame.call?.method === 'Conversations.Create'
        ? { error: { reason: 'USER_UNKNOWN' } }
        : undefined;
    const crew = ana.client.createGroup({ name: 'Crew', members: ['usr_nobody'] });
    const ref = crew.send(say('hello?'));
    await world.advance(500);
    assert.equal(crew.info.get().failed, 'USER_UNKNOWN');
    assert.equal(crew.info.get().canSend, false);
    assert.equal(ref.state.get().is, 'SENDING');
  });

  it('sends of a group that was made and left before its maker heard of it are refused', async () => {
    const world = new World();
    const ana = await world.started(ANA);
    world.server.onRequest = (frame) =>
      frame.call?.method === 'Conversations.Create' || frame.send !== undefined
        ? { error: { reason: 'NOT_A_MEMBER' } }
        : undefined;
    const crew = ana.client.createGroup({ name: 'Crew', members: [BO] });
    const ref = crew.send(say('hello?'));
    await world.advance(500);
    assert.deepEqual(ref.state.get(), { is: 'FAILED', reason: 'NOT_A_MEMBER', retryable: true });
    assert.equal(crew.info.get().canSend, false);
    assert.deepEqual(await ana.store.readOwn('groups', under()), []);
  });
});
