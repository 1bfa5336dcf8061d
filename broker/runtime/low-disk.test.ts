import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { COMMAND_KIND, NO_ID } from '../../core/command.ts';
import { encodeCommand } from '../../core/command-codec.ts';
import { groupConversationRaw } from '../../core/ids.ts';
import { RECORD } from '../../core/record.ts';
import { BODY_KIND } from '../../core/row.ts';
import { idOf, markCommand } from '../conversation/test-kit.ts';
import { goesOnWithLowDisk } from './store-budget.ts';
import { ANA, BO, CEM, DIRECT, createGroup, hello, removeMember } from './testing/talk.ts';
import type { TestGateway } from './testing/test-gateway.ts';
import { TestNode } from './testing/test-node.ts';

const CREW_REQUEST = idOf(1, 6);
const CREW = groupConversationRaw(ANA, CREW_REQUEST);

const deleted = { bodyKind: BODY_KIND.delete, target: 1, text: '' } as const;
const edited = { bodyKind: BODY_KIND.edit, target: 1, text: 'again' } as const;
const byAna = { timeMs: 0, key: CREW, caller: ANA };

function add(user: Uint8Array): Uint8Array {
  return encodeCommand({ ...byAna, kind: COMMAND_KIND.addMembers, users: [user], role: 1 });
}

function rename(): Uint8Array {
  return encodeCommand({
    ...byAna,
    kind: COMMAND_KIND.updateConversation,
    name: 'the crew',
    ifVersion: 0,
  });
}

function archive(): Uint8Array {
  return encodeCommand({ ...byAna, kind: COMMAND_KIND.setMyState, archived: true });
}

function revoke(): Uint8Array {
  const kind = COMMAND_KIND.accountSessionRevoked;
  return encodeCommand({ kind, timeMs: 0, key: ANA, caller: NO_ID, session: idOf(5) });
}

async function ask(node: TestNode, gateway: TestGateway, command: Uint8Array): Promise<string> {
  const request = gateway.command(command);
  await node.time.settle();
  const answer = gateway.answer(request);
  assert.ok(answer !== undefined, 'answered');
  return answer.kind === RECORD.error ? gateway.refused(request).reason : 'taken';
}

describe('a nearly full disk', () => {
  it('takes deletes, marks, removals, settings and account commands; what brings content or members waits', async () => {
    const node = await TestNode.started();
    const gateway = node.gateway();
    for (const command of [hello(1), createGroup(CREW_REQUEST, [BO, CEM])])
      assert.equal(await ask(node, gateway, command), 'taken');
    node.store.loop.spaceChanged(true);
    for (const command of [
      hello(2),
      hello(2, edited),
      createGroup(idOf(2, 6), [BO]),
      add(idOf(4)),
      rename(),
    ])
      assert.equal(await ask(node, gateway, command), 'OVERLOADED');
    const small = [
      hello(2, deleted),
      markCommand(DIRECT, BO, { read: 1 }),
      removeMember(CREW, CEM),
      archive(),
    ];
    for (const command of [...small, revoke()])
      assert.equal(await ask(node, gateway, command), 'taken');
    assert.equal(node.store.budget.refused.lowDisk, 5);
    const low = node.store.metrics().find(({ name }) => name === 'parley_store_disk_low');
    assert.equal(low?.value, 1, 'what an alarm looks at');
    assert.equal(node.store.budget.bytes, 0, 'what was refused owes nothing');
  });

  it('a refusal by it says when to come back, and a refused send is taken once there is room', async () => {
    const node = await TestNode.started();
    const gateway = node.gateway();
    node.store.loop.spaceChanged(true);
    const refused = gateway.command(hello(1));
    await node.time.settle();
    const error = gateway.refused(refused);
    assert.match(error.message, /disk is nearly full/);
    assert.ok((error.retryAfterMs ?? 0) > 0);
    node.store.loop.spaceChanged(false);
    const taken = gateway.command(hello(1));
    await node.time.settle();
    assert.equal(gateway.committed(taken).sequence, 1);
  });

  it('a message erased on it is erased on the disk as well: the flush goes on', async () => {
    const node = await TestNode.started();
    const gateway = node.gateway();
    gateway.command(hello(1, { text: 'the-secret-one' }));
    await node.flushed();
    node.store.loop.spaceChanged(true);
    assert.equal(await ask(node, gateway, hello(2, deleted)), 'taken');
    await node.flushed();
    const rows = { from: 1, through: 9, limit: 9, newest: false };
    const [first] = await node.until(node.store.reads.rows(DIRECT, rows));
    assert.ok(first !== undefined && !Buffer.from(first.row).includes('the-secret-one'));
  });

  it('of every kind of command it is settled whether it waits', () => {
    const waits = [hello(1), hello(1, edited), createGroup(CREW_REQUEST, [BO]), add(BO), rename()];
    assert.deepEqual(waits.map(goesOnWithLowDisk), [false, false, false, false, false]);
    const goes = [
      hello(1, deleted),
      markCommand(DIRECT, BO, { read: 1 }),
      removeMember(CREW, BO),
      revoke(),
    ];
    assert.deepEqual(goes.map(goesOnWithLowDisk), [true, true, true, true]);
  });
});
