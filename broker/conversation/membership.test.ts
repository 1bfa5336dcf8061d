import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { COMMAND_KIND } from '../../core/command.ts';
import { encodeCommand } from '../../core/command-codec.ts';
import { ROLE } from '../../core/facts.ts';
import { groupConversationRaw } from '../../core/ids.ts';
import { BODY_KIND, ROW_FLAG, RowView } from '../../core/row.ts';
import {
  assertRefused,
  assertReplayed,
  Direct,
  idOf,
  OPEN_GROUP,
  sequenceOf,
  Shard,
} from './test-kit.ts';

const OWNER: Uint8Array = idOf(1);
const ONE: Uint8Array = idOf(2);
const TWO: Uint8Array = idOf(3);
const STRANGER: Uint8Array = idOf(50);

describe('a group', () => {
  it('begins with a row that the server made, its creator as owner (R005, R010)', () => {
    const shard = new Shard();
    const { id, applied } = shard.createGroup(OWNER, [ONE, TWO, ONE, OWNER]);
    assert.equal(sequenceOf(applied), 1);
    assert.ok(applied.row !== undefined);
    const row = new RowView(applied.row);
    assert.equal(row.bodyKind, BODY_KIND.created);
    assert.ok(row.has(ROW_FLAG.server));
    assert.ok(!row.has(ROW_FLAG.countable));
    assert.deepEqual(row.sender, OWNER);
    assert.deepEqual(
      applied.members?.map((change) => change.user),
      [OWNER, ONE, TWO],
    );
    const view = shard.machine.view(id);
    assert.equal(view?.name, 'a group');
    assert.equal(view?.memberCount, 3);
    assert.equal(view?.member(OWNER)?.role, ROLE.owner);
    assert.equal(view?.member(ONE)?.role, ROLE.member);
    assert.deepEqual(view?.member(ONE)?.invitedBy, OWNER);
    assert.deepEqual(view?.creator, OWNER);
  });

  it('created twice by one request is one conversation, as it stands, for ever (CONTRACT §9 case 2)', () => {
    const shard = new Shard();
    const first = shard.createGroup(OWNER, [ONE]);
    shard.add(first.id, OWNER, [TWO]);
    const again = shard.createGroup(OWNER, [STRANGER]);
    assert.deepEqual(again.id, first.id);
    assertReplayed(again.applied, first.applied);
    assert.equal(shard.machine.view(first.id)?.membership(STRANGER), undefined);
  });

  it('is made under the id derived from its creator and request alone', () => {
    const shard = new Shard();
    const key = groupConversationRaw(ONE, idOf(1, 6));
    const kind = COMMAND_KIND.createGroup;
    const command = { kind, timeMs: 0, key, caller: OWNER, requestId: idOf(1, 6), name: 'mine' };
    const applied = shard.apply(encodeCommand({ ...command, members: [], settings: OPEN_GROUP }));
    assertRefused(applied, 'BAD_ID');
  });

  it('takes as many members as the shard’s settings say, and not one more (R009, R011, CONTRACT §9 case 48)', () => {
    const shard = new Shard();
    shard.settings({ membersMax: 500 });
    const users = Array.from({ length: 498 }, (_, i) => idOf(i + 100));
    const { id } = shard.createGroup(OWNER, users);
    const last = shard.add(id, OWNER, [ONE]);
    assert.equal(last.members?.length, 1);
    assertRefused(shard.add(id, OWNER, [TWO]), 'GROUP_FULL', { membersMax: 500 });
    assertRefused(shard.createGroup(ONE, [TWO, ...users, OWNER], {}, 2).applied, 'GROUP_FULL');
    shard.remove(id, ONE, ONE);
    assert.equal(sequenceOf(shard.add(id, OWNER, [TWO])), 4);
    assert.equal(shard.machine.view(id)?.memberCount, 500);
  });

  it('keeps 500 members over a restart, in the order of their joining', () => {
    const shard = new Shard();
    const users = Array.from({ length: 300 }, (_, i) => idOf(i + 100));
    const { id } = shard.createGroup(OWNER, users);
    shard.restart();
    shard.load(id);
    const seen: Uint8Array[] = [];
    shard.machine.view(id)?.eachMember((user) => {
      seen.push(user.slice());
      return undefined;
    });
    assert.deepEqual(seen, [OWNER, ...users]);
    assert.equal(shard.machine.view(id)?.membership(idOf(399)), 'member');
    assert.equal(shard.machine.view(id)?.membership(STRANGER), undefined);
  });

  it('stops telling members where it is told to', () => {
    const shard = new Shard();
    const { id } = shard.createGroup(OWNER, [ONE, TWO]);
    let told = 0;
    shard.machine.view(id)?.eachMember(() => ++told < 2);
    assert.equal(told, 2);
  });
});

describe('adding members', () => {
  it('skips those present, and is a success without a row if all are (CONTRACT §5)', () => {
    const shard = new Shard();
    const { id } = shard.createGroup(OWNER, [ONE]);
    const applied = shard.add(id, OWNER, [ONE, TWO, TWO]);
    assert.deepEqual(applied.members, [{ user: TWO, joined: true, sequence: 2 }]);
    const again = shard.add(id, OWNER, [ONE, TWO]);
    assert.equal(sequenceOf(again), 2);
    assert.equal(again.row, undefined);
    assert.equal(again.members, undefined);
  });

  it('is for owners and admins, for members where settings say so, never for guests', () => {
    const shard = new Shard();
    const { id } = shard.createGroup(OWNER, [ONE]);
    assertRefused(shard.add(id, ONE, [TWO]), 'ROLE_REQUIRED');
    shard.update(id, OWNER, { settings: { ...OPEN_GROUP, addMembersToo: true } });
    sequenceOf(shard.add(id, ONE, [TWO]));
    assertRefused(shard.add(id, ONE, [idOf(9)], ROLE.guest), 'ROLE_REQUIRED');
    shard.setRole(id, OWNER, ONE, ROLE.guest);
    assertRefused(shard.add(id, ONE, [idOf(9)]), 'ROLE_REQUIRED');
    shard.setRole(id, OWNER, ONE, ROLE.admin);
    sequenceOf(shard.add(id, ONE, [idOf(9)], ROLE.guest));
    assertRefused(shard.add(id, ONE, [idOf(10)], ROLE.admin), 'ROLE_REQUIRED');
    sequenceOf(shard.add(id, OWNER, [idOf(10)], ROLE.admin));
    assertRefused(shard.add(id, OWNER, [idOf(11)], 77), 'BAD_FIELD');
  });

  it('shows history from the join row, or all of it where settings say so (CONTRACT §9 case 41)', () => {
    const shard = new Shard();
    const { id } = shard.createGroup(OWNER, []);
    for (let clientSeq = 1; clientSeq <= 5; clientSeq++)
      shard.send({ to: id, from: OWNER, outbox: idOf(1, 7), clientSeq, after: clientSeq - 1 });
    const joined = sequenceOf(shard.add(id, OWNER, [ONE]));
    assert.equal(joined, 7);
    assert.equal(shard.me(id, ONE).historyFrom, 7);
    shard.update(id, OWNER, { settings: { ...OPEN_GROUP, historyAll: true } });
    shard.add(id, OWNER, [TWO]);
    assert.equal(shard.me(id, TWO).historyFrom, 1);
  });

  it('to a direct is refused', () => {
    const direct = new Direct();
    direct.send(direct.a);
    const { shard, id, a } = direct;
    assertRefused(shard.add(id, a, [ONE, TWO]), 'ROLE_REQUIRED');
    assertRefused(shard.remove(id, a, a), 'ROLE_REQUIRED');
    assertRefused(shard.setRole(id, a, a, ROLE.owner), 'ROLE_REQUIRED');
    assertRefused(shard.update(id, a, { name: 'mine' }), 'ROLE_REQUIRED');
    assertRefused(shard.close(id, a), 'ROLE_REQUIRED');
  });
});

describe('leaving', () => {
  it('ends the interval at its row: nothing after it is the member’s, who may do nothing more (R008, CONTRACT §9 case 49)', () => {
    const shard = new Shard();
    const { id } = shard.createGroup(OWNER, [ONE]);
    const applied = shard.remove(id, OWNER, ONE);
    assert.deepEqual(applied.members, [{ user: ONE, joined: false, sequence: 2 }]);
    const view = shard.machine.view(id);
    assert.equal(view?.membership(ONE), 'left');
    assert.equal(view?.me(ONE), undefined);
    assert.equal(view?.member(ONE), undefined);
    const message = { to: id, from: ONE, outbox: idOf(1, 7), clientSeq: 1 };
    assertRefused(shard.send(message), 'NOT_A_MEMBER');
    assertRefused(shard.add(id, ONE, [TWO]), 'NOT_A_MEMBER');
    assertRefused(shard.update(id, ONE, { name: 'x' }), 'NOT_A_MEMBER');
    assertRefused(shard.setMyState(id, ONE, { archived: true }), 'NOT_A_MEMBER');
    assertRefused(shard.add(id, STRANGER, [TWO]), 'CONVERSATION_UNKNOWN');
  });

  it('again is a success without a row', () => {
    const shard = new Shard();
    const { id } = shard.createGroup(OWNER, [ONE]);
    shard.remove(id, ONE, ONE);
    assert.equal(shard.remove(id, ONE, ONE).row, undefined);
    assert.equal(sequenceOf(shard.remove(id, OWNER, ONE)), 2);
    assert.equal(sequenceOf(shard.remove(id, OWNER, STRANGER)), 2);
    assertRefused(shard.remove(id, STRANGER, STRANGER), 'CONVERSATION_UNKNOWN');
  });

  it('and joining again opens a new interval: marks at its row, history from it', () => {
    const shard = new Shard();
    const { id } = shard.createGroup(OWNER, [ONE]);
    shard.setMyState(id, ONE, { archived: true });
    shard.remove(id, ONE, ONE);
    const sequence = sequenceOf(shard.add(id, OWNER, [ONE], ROLE.guest));
    const me = shard.me(id, ONE);
    assert.equal(me.historyFrom, sequence);
    assert.equal(me.readThrough, sequence);
    assert.equal(me.deliveredThrough, sequence);
    assert.equal(me.role, ROLE.guest);
    assert.equal(me.archived, true);
    assert.equal(shard.machine.view(id)?.member(ONE)?.joinSequence, sequence);
  });

  it('is refused to the last owner while others stay, and allowed to the last member', () => {
    const shard = new Shard();
    const { id } = shard.createGroup(OWNER, [ONE]);
    assertRefused(shard.remove(id, OWNER, OWNER), 'LAST_OWNER');
    shard.setRole(id, OWNER, ONE, ROLE.owner);
    sequenceOf(shard.remove(id, OWNER, OWNER));
    sequenceOf(shard.remove(id, ONE, ONE));
    assert.equal(shard.machine.view(id)?.memberCount, 0);
  });

  it('by another’s hand is for owners, and for admins towards members and guests', () => {
    const shard = new Shard();
    const { id } = shard.createGroup(OWNER, [ONE, TWO, idOf(4)]);
    assertRefused(shard.remove(id, ONE, TWO), 'ROLE_REQUIRED');
    shard.setRole(id, OWNER, ONE, ROLE.admin);
    shard.setRole(id, OWNER, TWO, ROLE.admin);
    assertRefused(shard.remove(id, ONE, TWO), 'ROLE_REQUIRED');
    assertRefused(shard.remove(id, ONE, OWNER), 'ROLE_REQUIRED');
    sequenceOf(shard.remove(id, ONE, idOf(4)));
    sequenceOf(shard.remove(id, OWNER, TWO));
  });
});

describe('roles', () => {
  it('are set by owners alone, for present members (R010)', () => {
    const shard = new Shard();
    const { id } = shard.createGroup(OWNER, [ONE, TWO]);
    const applied = shard.setRole(id, OWNER, ONE, ROLE.admin);
    assert.equal(applied.resourceChanged, true);
    assert.equal(shard.me(id, ONE).role, ROLE.admin);
    assertRefused(shard.setRole(id, ONE, TWO, ROLE.admin), 'ROLE_REQUIRED');
    assertRefused(shard.setRole(id, OWNER, STRANGER, ROLE.admin), 'USER_UNKNOWN');
    assertRefused(shard.setRole(id, OWNER, ONE, 9), 'BAD_FIELD');
    assert.equal(shard.setRole(id, OWNER, ONE, ROLE.admin).row, undefined);
  });

  it('keep one owner while others stay', () => {
    const shard = new Shard();
    const { id } = shard.createGroup(OWNER, [ONE]);
    assertRefused(shard.setRole(id, OWNER, OWNER, ROLE.member), 'LAST_OWNER');
    shard.setRole(id, OWNER, ONE, ROLE.owner);
    sequenceOf(shard.setRole(id, OWNER, OWNER, ROLE.member));
    assertRefused(shard.setRole(id, ONE, ONE, ROLE.admin), 'LAST_OWNER');
  });
});

describe('settings of a group', () => {
  it('change with the etag that still holds; a stale one is a conflict (CONTRACT §9 case 56)', () => {
    const shard = new Shard();
    const { id } = shard.createGroup(OWNER, [ONE]);
    const version = shard.machine.view(id)?.version ?? 0;
    const applied = shard.update(id, OWNER, { name: 'new name', ifVersion: version });
    assert.equal(applied.resourceChanged, true);
    assert.ok(applied.row !== undefined);
    assert.equal(new RowView(applied.row).bodyKind, BODY_KIND.update);
    assert.equal(shard.machine.view(id)?.name, 'new name');
    assertRefused(shard.update(id, OWNER, { name: 'x', ifVersion: version }), 'VERSION_CONFLICT', {
      version: version + 1,
    });
    assert.equal(shard.update(id, OWNER, { name: 'new name' }).row, undefined);
    assertRefused(shard.update(id, ONE, { name: 'x' }), 'ROLE_REQUIRED');
    assertRefused(shard.update(id, OWNER, { name: 'x'.repeat(401) }), 'BAD_TEXT');
    assertRefused(shard.update(id, OWNER, { pictureMediaId: 'x'.repeat(65) }), 'BAD_ID');
  });

  it('members and the end of the group, too, wait for the etag that they depend on (case 56)', () => {
    const shard = new Shard();
    const { id } = shard.createGroup(OWNER, [ONE]);
    const read = shard.machine.view(id)?.version ?? 0;
    shard.update(id, OWNER, { name: 'new name' });
    const change = (caller: Uint8Array, what: (typeof changes)[number], ifVersion: number) =>
      shard.apply(encodeCommand({ timeMs: 0, key: id, caller, ...what, ifVersion }));
    const changes = [
      { kind: COMMAND_KIND.addMembers, users: [TWO], role: ROLE.member },
      { kind: COMMAND_KIND.setRole, user: ONE, role: ROLE.admin },
      { kind: COMMAND_KIND.removeMember, user: ONE },
      { kind: COMMAND_KIND.closeConversation },
    ];
    const { head } = shard.machine.view(id) ?? {};
    for (const what of changes) {
      assertRefused(change(OWNER, what, read), 'VERSION_CONFLICT', { version: read + 1 });
      // Who may not do it at all is told that, and not what version it has.
      assertRefused(change(STRANGER, what, read), 'CONVERSATION_UNKNOWN');
    }
    assert.equal(shard.machine.view(id)?.head, head);
    for (const what of changes) assert.ok(change(OWNER, what, read + 1).row !== undefined);
  });

  it('keep name and picture of any length over changes, members and mentions around them', () => {
    const shard = new Shard();
    const { id } = shard.createGroup(OWNER, [ONE]);
    shard.send({ to: id, from: OWNER, outbox: idOf(1, 7), clientSeq: 1, mentions: [ONE] });
    shard.update(id, OWNER, { name: 'ä'.repeat(100), pictureMediaId: 'med_x' });
    shard.add(id, OWNER, [TWO]);
    shard.update(id, OWNER, { name: '', pictureMediaId: `med_${'y'.repeat(26)}` });
    shard.restart();
    shard.load(id);
    const view = shard.machine.view(id);
    assert.equal(view?.name, '');
    assert.equal(view?.pictureMediaId, `med_${'y'.repeat(26)}`);
    assert.equal(shard.me(id, ONE).mentionCount, 1);
    assert.equal(shard.me(id, TWO).role, ROLE.member);
  });

  it('restrict sending to owners and admins', () => {
    const shard = new Shard();
    const { id } = shard.createGroup(OWNER, [ONE], { sendAdminsOnly: true });
    const message = { to: id, outbox: idOf(1, 7), clientSeq: 1 };
    assertRefused(shard.send({ ...message, from: ONE }), 'ROLE_REQUIRED');
    sequenceOf(shard.send({ ...message, from: OWNER }));
  });

  it('slow members down, who are told when to try again', () => {
    const shard = new Shard();
    const { id } = shard.createGroup(OWNER, [ONE], { slowModeMs: 10_000 });
    const say = (from: Uint8Array, clientSeq: number) =>
      shard.send({ to: id, from, outbox: idOf(1, 7), clientSeq, after: clientSeq - 1 });
    say(ONE, 1);
    shard.nowMs += 4_000;
    assertRefused(say(ONE, 2), 'SLOW_MODE', { retryAfterMs: 5_999 });
    say(OWNER, 1);
    sequenceOf(say(OWNER, 2));
    shard.nowMs += 6_000;
    sequenceOf(say(ONE, 2));
  });
});

describe('closing', () => {
  it('is for owners; nothing is sent or changed after it, but deleted and left', () => {
    const shard = new Shard();
    const { id } = shard.createGroup(OWNER, [ONE]);
    const outbox = idOf(1, 7);
    shard.send({ to: id, from: ONE, outbox, clientSeq: 1 });
    assertRefused(shard.close(id, ONE), 'ROLE_REQUIRED');
    assert.equal(shard.close(id, OWNER).resourceChanged, true);
    assert.equal(shard.close(id, OWNER).row, undefined);
    assert.equal(shard.machine.view(id)?.closed, true);
    const next = { to: id, from: ONE, outbox, clientSeq: 2, after: 1 };
    assertRefused(shard.send(next), 'CONVERSATION_CLOSED');
    assertRefused(shard.add(id, OWNER, [TWO]), 'CONVERSATION_CLOSED');
    assertRefused(shard.update(id, OWNER, { name: 'x' }), 'CONVERSATION_CLOSED');
    assertRefused(shard.setRole(id, OWNER, ONE, ROLE.admin), 'CONVERSATION_CLOSED');
    sequenceOf(shard.send({ ...next, bodyKind: BODY_KIND.delete, target: 2 }));
    sequenceOf(shard.remove(id, ONE, ONE));
  });
});

describe('a block', () => {
  it('refuses sends both ways until it is lifted, but for deletes, and nobody sees it', () => {
    const direct = new Direct();
    const { shard, id, a, b } = direct;
    direct.send(a);
    const applied = shard.block(b, a, true);
    assert.equal(applied.row, undefined);
    assert.equal(applied.registers, undefined);
    assertRefused(direct.send(a), 'BLOCKED');
    assertRefused(direct.send(b), 'BLOCKED');
    assertRefused(direct.send(a, { bodyKind: BODY_KIND.edit, target: 1 }), 'BLOCKED');
    sequenceOf(direct.send(a, { bodyKind: BODY_KIND.delete, target: 1 }));
    shard.block(a, b, true);
    shard.block(b, a, false);
    assertRefused(direct.send(b), 'BLOCKED');
    shard.block(a, b, false);
    assert.equal(sequenceOf(direct.send(b)), 3);
    assert.equal(shard.machine.view(id)?.head, 3);
  });

  it('before any message makes nothing that anybody sees, and holds over a restart', () => {
    const direct = new Direct();
    const { shard, id, a, b } = direct;
    shard.block(b, a, true);
    assert.equal(shard.machine.view(id), undefined);
    shard.restart();
    assertRefused(direct.send(a), 'BLOCKED');
    assertRefused(shard.mark(id, b, { read: 1 }), 'CONVERSATION_UNKNOWN');
    shard.block(b, a, false);
    assert.equal(sequenceOf(direct.send(a)), 1);
    assert.equal(shard.me(id, b).unreadCount, 1);
  });

  it('is one’s own direct’s: not of others, not of oneself', () => {
    const { shard, id, a } = new Direct();
    const kind = COMMAND_KIND.setBlock;
    const command = { kind, timeMs: 0, key: id, caller: a, blocked: true };
    assertRefused(shard.apply(encodeCommand({ ...command, peer: STRANGER })), 'BAD_ID');
    assertRefused(shard.apply(encodeCommand({ ...command, peer: a })), 'BAD_FIELD');
  });
});

describe('one’s own settings', () => {
  it('are registers: the last write wins, absent keys stay, nobody else hears of them', () => {
    const direct = new Direct();
    const { shard, id, a, b } = direct;
    direct.send(a);
    const applied = shard.setMyState(id, b, { notify: 2, muteUntilMs: 2 ** 53 - 1, pinned: true });
    assert.deepEqual(applied.registers, [{ user: b, what: 'settings' }]);
    assert.equal(applied.row, undefined);
    shard.setMyState(id, b, {
      pinned: false,
      archived: true,
      markedUnread: true,
      clearedThrough: 9,
    });
    const me = shard.me(id, b);
    assert.equal(me.notify, 2);
    assert.equal(me.muteUntilMs, 2 ** 48 - 1);
    assert.deepEqual([me.pinned, me.archived, me.markedUnread], [false, true, true]);
    assert.equal(me.clearedThrough, 1);
    assert.equal(shard.me(id, a).archived, false);
    assert.equal(shard.machine.view(id)?.ownChangeIndex(b), shard.index);
    shard.mark(id, b, { read: 1 });
    assert.equal(shard.me(id, b).markedUnread, false);
  });
});
