import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { ParleyError } from '../../core/errors.ts';
import { encodeId, newRawId } from '../../core/ids.ts';
import { newConversationRaw } from '../testing/new-conversation.ts';
import { callerOf, rowEvent, SCRIPT_EPOCH, ScriptedSession } from '../testing/scripted-session.ts';
import { decodeSyncToken } from './sync-token.ts';
import { CONVERSATION, ID } from '../testing/one-conversation.ts';

describe('session: resume', () => {
  const directory = (open: readonly Uint8Array[], over: object = {}): object => ({
    open: Buffer.concat(open),
    left: new Uint8Array(0),
    joined: new Uint8Array(0),
    accountSequence: 4,
    ...over,
  });
  const shard = (CONVERSATION[15] ?? 0) % 4;
  const changed = (index: number): object => ({
    shards: [{ shard, askedAtIndex: index, changed: CONVERSATION, changeTimeMs: [9] }],
  });
  /** A session that asks for the rows of a changed conversation above its cursor. */
  const catchingUp = (): ScriptedSession => {
    const script = new ScriptedSession();
    const cursors = [{ conversationId: ID, epoch: SCRIPT_EPOCH, sequence: 2 }];
    script.live({ resume: { syncToken: script.resumeToken(), cursors } });
    script.running[0]?.answer(directory([CONVERSATION]));
    script.running[0]?.answer(changed(40));
    script.running[0]?.answer({ conversations: [{ conversationId: ID }], recent: [] });
    return script;
  };

  it('asks the directory, then the shards, then the first views; ends with a token that covers both feed and answer', () => {
    const script = new ScriptedSession();
    script.live({ resume: { syncToken: script.resumeToken() } });
    assert.deepEqual(script.kinds, ['ready']);
    script.positions[shard] = 50;
    script.running[0]?.answer(directory([CONVERSATION]));
    const [ask] = script.running[0]?.asks ?? [];
    assert.ok(ask?.ask === 'query' && ask.method === 'Link.Changed');
    const { shards } = ask.request as { shards: { sinceIndex: number }[] };
    assert.deepEqual(
      shards.map((one) => one.sinceIndex),
      [[5, 0, 7, 0][shard]],
    );
    script.running[0]?.answer(changed(40));
    script.running[0]?.answer({ conversations: [{ conversationId: ID }], recent: [] });
    assert.deepEqual(script.kinds, ['ready', 'conversations', 'caughtUp']);
    const { caughtUp } = script.frames.at(-1) ?? {};
    assert.ok(caughtUp !== undefined && !(caughtUp instanceof Uint8Array));
    const token = decodeSyncToken(caughtUp.syncToken ?? '', script.caller.user);
    assert.equal(token?.position.indexes[shard], 50);
    assert.equal(token?.position.accountSequence, 4);
  });
  it('holds back live rows of a cursor’s conversation until the missing ones have gone out', () => {
    const script = catchingUp();
    assert.equal(
      script.do((session) => session.deliver(rowEvent({ conversationId: ID, sequence: 5 }))),
      'none',
    );
    script.running[0]?.answer({
      rows: [{ sequence: 3 }, { sequence: 4 }],
      head: 4,
      epoch: SCRIPT_EPOCH,
      gapFrom: 0,
    });
    const [again] = script.running[0]?.asks ?? [];
    assert.ok(again?.ask === 'query' && again.method === 'Link.CatchUp');
    assert.deepEqual((again.request as { cursor: object }).cursor, {
      epoch: SCRIPT_EPOCH,
      sequence: 4,
    });
    script.running[0]?.answer({
      rows: [{ sequence: 5 }],
      head: 5,
      epoch: SCRIPT_EPOCH,
      gapFrom: 0,
    });
    assert.deepEqual(script.kinds, ['ready', 'conversations', 'rows', 'rows', 'caughtUp']);
    assert.equal(
      script.do((session) => session.deliver(rowEvent({ conversationId: ID, sequence: 6 }))),
      'full',
    );
  });
  it('who was added again behind the answer that he is no member gets the row that added him', () => {
    const script = catchingUp();
    const hidden = { rows: [], head: 0, epoch: SCRIPT_EPOCH, gapFrom: 0, notReadable: true };
    // The store read before he was added; that row overtook its answer.
    script.do((session) => session.deliver(rowEvent({ conversationId: ID, sequence: 9 })));
    script.running[0]?.answer(hidden);
    const [again] = script.running[0]?.asks ?? [];
    assert.ok(again?.ask === 'query' && again.method === 'Link.CatchUp');
    script.running[0]?.answer({
      rows: [],
      head: 9,
      epoch: SCRIPT_EPOCH,
      gapFrom: 9,
      notReadable: false,
    });
    assert.deepEqual(script.kinds, ['ready', 'conversations', 'gap', 'caughtUp']);
    const { gap } = script.frames.at(-2) ?? {};
    assert.ok(gap !== undefined && !(gap instanceof Uint8Array));
    assert.deepEqual([gap.from, gap.head], [9, 9]);
  });
  it('who is added and removed all the while is told a gap at last', () => {
    const script = catchingUp();
    const hidden = { rows: [], head: 0, epoch: SCRIPT_EPOCH, gapFrom: 0, notReadable: true };
    for (let sequence = 9; script.running.length > 0; sequence++) {
      script.do((session) => session.deliver(rowEvent({ conversationId: ID, sequence })));
      script.running[0]?.answer(hidden);
    }
    assert.deepEqual(script.kinds, ['ready', 'conversations', 'gap', 'caughtUp']);
    const { gap } = script.frames.at(-2) ?? {};
    assert.ok(gap !== undefined && !(gap instanceof Uint8Array));
    assert.deepEqual([gap.from, gap.head], [3, 12]);
  });
  it('who was removed since, as the answer knows, gets none of the rows that waited', () => {
    const script = new ScriptedSession();
    const cursors = [{ conversationId: ID, epoch: SCRIPT_EPOCH, sequence: 2 }];
    script.live({ resume: { syncToken: script.resumeToken(), cursors } });
    script.do((session) => session.deliver(rowEvent({ conversationId: ID, sequence: 9 })));
    script.running[0]?.answer(directory([]));
    const hidden = { rows: [], head: 0, epoch: SCRIPT_EPOCH, gapFrom: 0, notReadable: true };
    script.running[0]?.answer(hidden);
    assert.deepEqual(script.kinds, ['ready', 'caughtUp']);
  });
  it('says a gap where too much is missing', () => {
    const script = catchingUp();
    script.running[0]?.answer({ rows: [], head: 900, epoch: SCRIPT_EPOCH, gapFrom: 3 });
    assert.deepEqual(script.frames.at(-2), {
      gap: {
        scope: 'conversation',
        reason: 'BACKLOG',
        conversationId: ID,
        from: 3,
        head: 900,
        epoch: SCRIPT_EPOCH,
      },
    });
  });
  it('a token over 30 days old, of another epoch or user, or broken lists anew (case 28)', () => {
    const make = (over: object): string => new ScriptedSession().resumeToken(over);
    const tokens = [
      (script: ScriptedSession) => script.resumeToken({ timeMs: script.wallMs - 31 * 86_400_000 }),
      (script: ScriptedSession) => script.resumeToken({ epoch: 5 }),
      () => make({}),
      () => 'nonsense',
      () => '',
    ];
    for (const tokenOf of tokens) {
      const script = new ScriptedSession();
      script.live({ resume: { syncToken: tokenOf(script) } });
      assert.deepEqual(script.kinds, ['ready', 'gap', 'caughtUp']);
      assert.deepEqual(script.frames[1], {
        gap: { scope: 'all', reason: 'EXPIRED', epoch: SCRIPT_EPOCH },
      });
    }
  });
  it('before anything was listed its token stands for nothing; a listing through it gives it a place', () => {
    const script = new ScriptedSession().live();
    script.positions[shard] = 50;
    const { caughtUp } = script.frames.at(-1) ?? {};
    assert.ok(caughtUp !== undefined && !(caughtUp instanceof Uint8Array));
    const token = decodeSyncToken(caughtUp.syncToken ?? '', script.caller.user);
    assert.deepEqual(token?.position, { accountSequence: 0, indexes: [] });
    script.do((session) => session.deliver(rowEvent({ conversationId: ID })));
    script.pass(11_000);
    assert.ok(!script.kinds.includes('token'));
    script.ask({ call: { method: 'Sync.ListConversations', request: {} } });
    script.running[0]?.answer(directory([CONVERSATION]));
    script.running[0]?.answer(changed(40));
    script.running[0]?.answer({ conversations: [], recent: [] });
    script.do((session) => session.drain(0, script.nowMs));
    const { token: written } = script.frames.find((frame) => frame.token !== undefined) ?? {};
    assert.ok(written !== undefined && !(written instanceof Uint8Array));
    assert.equal(
      decodeSyncToken(written.syncToken ?? '', script.caller.user)?.position.indexes[shard],
      50,
    );
  });
  it('a hole in the feed: no token until a check has closed it, and what changed is announced', () => {
    const script = new ScriptedSession();
    script.live({ resume: { syncToken: script.resumeToken() } });
    script.running[0]?.answer(directory([]));
    script.do((session) => session.resync(script.nowMs));
    script.do((session) => session.deliver(rowEvent({ conversationId: ID })));
    script.pass(11_000);
    assert.ok(!script.kinds.includes('token'));
    script.do((session) => session.resync(script.nowMs));
    script.running[0]?.answer(directory([CONVERSATION]));
    script.running[0]?.answer(changed(60));
    script.running[0]?.answer({ conversations: [{ conversationId: ID }], recent: [] });
    assert.deepEqual(script.frames.at(-1), {
      gap: { scope: 'conversation', conversationId: ID, reason: 'RESYNC', epoch: SCRIPT_EPOCH },
    });
    assert.equal(script.running.length, 1, 'the second hole is checked too');
    script.running[0]?.answer(directory([]));
    script.pass(11_000);
    assert.ok(script.kinds.includes('token'));
  });
  it('caught up with a hole or a full socket, its token stands for what the resume told alone', () => {
    for (const isHole of [true, false]) {
      const script = new ScriptedSession();
      script.live({ resume: { syncToken: script.resumeToken() } });
      script.positions[shard] = 50;
      script.do((session) =>
        isHole ? session.resync(script.nowMs) : session.pressure(2 * 1024 * 1024),
      );
      script.running[0]?.answer(directory([CONVERSATION]));
      script.running[0]?.answer(changed(40));
      script.running[0]?.answer({ conversations: [{ conversationId: ID }], recent: [] });
      const told = script.frames.flatMap(({ caughtUp }) =>
        caughtUp === undefined || caughtUp instanceof Uint8Array ? [] : [caughtUp],
      );
      const token = decodeSyncToken(told[0]?.syncToken ?? '', script.caller.user);
      assert.equal(token?.position.indexes[shard], 40);
      if (isHole) script.running[0]?.answer(directory([]));
      else script.do((session) => session.pressure(0));
      script.pass(11_000);
      assert.ok(script.kinds.includes('token'), 'the next one covers the rest');
    }
  });
  it('rows are charged with all they hold, and go out before the next conversation is read', () => {
    const script = new ScriptedSession();
    const other = encodeId('cnv', newConversationRaw());
    const cursors = [ID, other].map((conversationId) => ({
      conversationId,
      epoch: SCRIPT_EPOCH,
      sequence: 2,
    }));
    script.live({ resume: { syncToken: script.resumeToken(), cursors } });
    script.running[0]?.answer(directory([CONVERSATION]));
    script.running[0]?.answer(changed(40));
    script.running[0]?.answer({ conversations: [{ conversationId: ID }], recent: [] });
    const entities = Array.from({ length: 6_000 }, () => ({ type: 'bold', length: 1 }));
    const row = (sequence: number): object => ({
      sequence,
      body: { message: { text: { body: 'x', entities } } },
    });
    const rows = [3, 4, 5, 6, 7].map(row);
    script.do((session) => session.deliver(rowEvent({ conversationId: other, sequence: 5 })));
    script.running[0]?.answer({ rows, head: 9, epoch: SCRIPT_EPOCH, gapFrom: 0 });
    assert.deepEqual(script.frames.at(-1), {
      gap: {
        scope: 'conversation',
        conversationId: ID,
        reason: 'BACKLOG',
        from: 8,
        head: 9,
        epoch: SCRIPT_EPOCH,
      },
    });
    assert.equal(script.running[0]?.asks[0]?.ask, 'room');
  });
  it('every five minutes it looks for lost pushes, and tells only of what did not pass by', () => {
    const script = new ScriptedSession({ pingIntervalMs: 1e9 }, callerOf(newRawId(1), 1e9));
    script.live({ resume: { syncToken: script.resumeToken() } });
    script.running[0]?.answer(directory([]));
    script.frames.length = 0;
    script.seen.set(ID, 9);
    script.pass(301_000);
    script.running[0]?.answer(directory([CONVERSATION]));
    script.running[0]?.answer(changed(60));
    assert.deepEqual(
      script.kinds.filter((kind) => kind !== 'token'),
      [],
    );
    script.seen.set(ID, 8);
    script.pass(301_000);
    script.running[0]?.answer(directory([CONVERSATION]));
    script.running[0]?.answer(changed(70));
    script.running[0]?.answer({ conversations: [{ conversationId: ID }], recent: [] });
    assert.ok(script.kinds.includes('gap'));
  });
  it('who was added again while it ran is not told that he was removed', () => {
    const [gone, back] = [newRawId(21), newRawId(22)];
    const [goneId, backId] = [encodeId('cnv', gone), encodeId('cnv', back)];
    const script = new ScriptedSession();
    script.live({ resume: { syncToken: script.resumeToken() } });
    script.running[0]?.answer(directory([], { left: Buffer.concat([gone, back]) }));
    // Pushed as it happens, ahead of what the resume found in the directory before.
    script.do((session) => session.conversation(backId, new Uint8Array(1)));
    script.running[0]?.answer({ conversations: [{ conversationId: backId }], recent: [] });
    const removed = script.frames.flatMap(({ conversations }) =>
      conversations === undefined || conversations instanceof Uint8Array
        ? []
        : (conversations.removed ?? []),
    );
    assert.deepEqual(removed, [goneId]);
    // A listing since a token answers alike.
    script.ask({
      call: { method: 'Sync.ListConversations', request: { since: script.resumeToken() } },
    });
    script.running[0]?.answer(directory([], { left: Buffer.concat([gone, back]) }));
    script.running[0]?.answer({ conversations: [{ conversationId: backId }], recent: [] });
    const listed = script.effects.find((effect) => effect.is === 'result');
    assert.ok(listed?.is === 'result');
    assert.deepEqual((listed.response as { removed: string[] }).removed, [goneId]);
  });
  it('goes on where an answer ended that covers fewer conversations than were asked for', () => {
    const others = [newRawId(31), newRawId(32), newRawId(33)];
    const ids = others.map((raw) => encodeId('cnv', raw));
    const left = Buffer.concat(others);
    const script = new ScriptedSession();
    script.live({ resume: { syncToken: script.resumeToken() } });
    script.running[0]?.answer(directory([], { left }));
    script.running[0]?.answer({ conversations: [], recent: [], answered: 2 });
    const [ask] = script.running[0]?.asks ?? [];
    assert.ok(ask?.ask === 'query' && ask.method === 'Link.Views');
    assert.deepEqual(
      Buffer.from((ask.request as { conversations: Uint8Array }).conversations),
      Buffer.from(others[2] ?? []),
    );
    script.running[0]?.answer({ conversations: [{ conversationId: ids[2] }], recent: [] });
    const { conversations } = script.frames.find((frame) => 'conversations' in frame) ?? {};
    assert.deepEqual((conversations as { removed?: string[] }).removed, ids.slice(0, 2));
  });
  it('a listing’s page ends with the last conversation that was answered', () => {
    const script = new ScriptedSession().live();
    const own = Array.from({ length: 3 }, (_, i) => {
      const raw = newRawId(41 + i);
      raw[15] = CONVERSATION[15] ?? 0;
      return raw;
    });
    const list = (pageToken: string): Uint8Array => {
      script.ask({ call: { method: 'Sync.ListConversations', request: { pageToken } } });
      script.running[0]?.answer(directory(own));
      const times = { askedAtIndex: 40, changeTimeMs: [9, 8, 7] };
      const all = { shard, changed: Buffer.concat(own), ...times };
      script.running[0]?.answer({ shards: [all] });
      const [ask] = script.running[0]?.asks ?? [];
      assert.ok(ask?.ask === 'query' && ask.method === 'Link.Views');
      return (ask.request as { conversations: Uint8Array }).conversations;
    };
    const page = (): { nextPageToken: string; syncToken: string } => {
      const listed = script.effects.findLast((effect) => effect.is === 'result');
      assert.ok(listed?.is === 'result');
      return listed.response as { nextPageToken: string; syncToken: string };
    };
    assert.equal(list('').length, 3 * 16);
    script.running[0]?.answer({ conversations: [], recent: [], answered: 1 });
    assert.equal(page().syncToken, '');
    const rest = list(page().nextPageToken);
    assert.deepEqual(Buffer.from(rest), Buffer.concat(own.slice(1)));
    script.running[0]?.answer({ conversations: [], recent: [], answered: 2 });
    assert.deepEqual([page().nextPageToken, page().syncToken === ''], ['', false]);
  });
  it('a join that a courier brought late is told by the check, whatever passed by since', () => {
    const script = new ScriptedSession({ pingIntervalMs: 1e9 }, callerOf(newRawId(1), 1e9));
    script.live({ resume: { syncToken: script.resumeToken() } });
    script.running[0]?.answer(directory([]));
    script.frames.length = 0;
    // Its rows go through this gateway to others of the same group.
    script.seen.set(ID, 9);
    script.pass(301_000);
    script.running[0]?.answer(directory([CONVERSATION], { joined: CONVERSATION }));
    script.running[0]?.answer(changed(60));
    script.running[0]?.answer({ conversations: [{ conversationId: ID }], recent: [] });
    assert.deepEqual(
      script.kinds.filter((kind) => kind !== 'token'),
      ['conversations'],
    );
  });
  it('that cannot be finished ends the connection, which resumes elsewhere', () => {
    const script = new ScriptedSession();
    script.live({ resume: { syncToken: script.resumeToken() } });
    script.running[0]?.refuse(new ParleyError('SHARD_UNAVAILABLE', 'away'));
    assert.equal(script.closed, 4004);
  });
});
