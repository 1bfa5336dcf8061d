import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'mocha';
import { decodeCommand } from '../../core/command-codec.ts';
import { ParleyError } from '../../core/errors.ts';
import { encodeId, newRawId } from '../../core/ids.ts';
import { ID } from '../testing/one-conversation.ts';
import { ScriptedSession } from '../testing/scripted-session.ts';
import { MEMBERS_UNJUDGED_MAX } from './limits.ts';

function userIds(count: number): string[] {
  return Array.from({ length: count }, () => encodeId('usr', newRawId(30)));
}

/** Calls that bring so many members into a group. */
function calls(count: number): { method: string; request: object }[] {
  const users = userIds(count);
  return [
    {
      method: 'Conversations.Create',
      request: { requestId: randomUUID(), name: 'crew', members: users },
    },
    { method: 'Conversations.AddMembers', request: { conversationId: ID, userIds: users } },
  ];
}

/** What a call waits for. */
function asked(script: ScriptedSession): string {
  const [ask] = script.running[0]?.asks ?? [];
  return ask?.ask === 'query' ? ask.method : (ask?.ask ?? '');
}

describe('many members in one call', () => {
  it('are looked up once the store said that there is room', () => {
    for (const call of calls(MEMBERS_UNJUDGED_MAX + 1)) {
      const script = new ScriptedSession().live();
      script.ask({ call });
      assert.equal(asked(script), 'Link.Fits');
      script.running[0]?.answer({});
      assert.equal(asked(script), 'unknown-users');
      script.running[0]?.answer([]);
      const [ask] = script.running[0]?.asks ?? [];
      assert.ok(ask?.ask === 'command');
      const command = decodeCommand(ask.bytes);
      const users = 'users' in command ? command.users : 'members' in command && command.members;
      assert.equal(users && users.length, MEMBERS_UNJUDGED_MAX + 1);
    }
  });

  it('too many are refused with none of them looked up', () => {
    for (const call of calls(9_999)) {
      const script = new ScriptedSession().live();
      script.ask({ call });
      assert.equal(asked(script), 'Link.Fits');
      script.running[0]?.refuse(new ParleyError('GROUP_FULL', 'full', { membersMax: 500 }));
      assert.deepEqual(script.running, []);
      const { error } = script.reply(script.lastId) ?? {};
      assert.ok(error !== undefined && !(error instanceof Uint8Array));
      assert.equal(error.reason, 'GROUP_FULL');
    }
  });

  it('few are looked up at once: the log judges them anyway', () => {
    for (const call of calls(MEMBERS_UNJUDGED_MAX)) {
      const script = new ScriptedSession().live();
      script.ask({ call });
      assert.equal(asked(script), 'unknown-users');
    }
  });
});
