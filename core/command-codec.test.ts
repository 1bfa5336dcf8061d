import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { hex } from './bytes.ts';
import { COMMAND_KIND } from './command.ts';
import { decodeCommand, encodeCommand } from './command-codec.ts';

const KEY = new Uint8Array(16).fill(1);
const CALLER = new Uint8Array(16).fill(2);
const USER = new Uint8Array(16).fill(3);
const HEADER = { timeMs: 0, key: KEY, caller: CALLER };
const NAMES = '01'.repeat(16) + '02'.repeat(16);

describe('commands', () => {
  it('a change of a group that depends on no version is these bytes', () => {
    const kind = COMMAND_KIND.removeMember;
    const bytes = encodeCommand({ kind, ...HEADER, user: USER });
    assert.equal(hex(bytes), `0105${'00'.repeat(22)}${NAMES}${'03'.repeat(16)}`);
    assert.deepEqual(decodeCommand(bytes), { kind, ...HEADER, user: USER });
  });

  it('one that depends on a version has it in the header', () => {
    const changes = [
      { kind: COMMAND_KIND.addMembers, users: [USER], role: 1 },
      { kind: COMMAND_KIND.removeMember, user: USER },
      { kind: COMMAND_KIND.setRole, user: USER, role: 1 },
      { kind: COMMAND_KIND.closeConversation },
    ];
    for (const change of changes) {
      const command = { ...HEADER, ...change, ifVersion: 7 };
      const bytes = encodeCommand(command);
      const kind = `0${change.kind}`;
      assert.equal(
        hex(bytes.subarray(0, 56)),
        `01${kind}${'00'.repeat(14)}07${'00'.repeat(7)}${NAMES}`,
      );
      assert.deepEqual(decodeCommand(bytes), command);
    }
  });

  it('a change of settings keeps its version where it always had it', () => {
    const kind = COMMAND_KIND.updateConversation;
    const bytes = encodeCommand({ kind, ...HEADER, ifVersion: 7, name: 'x' });
    assert.equal(hex(bytes.subarray(0, 56)), `0107${'00'.repeat(22)}${NAMES}`);
    assert.deepEqual(decodeCommand(bytes), { kind, ...HEADER, ifVersion: 7, name: 'x' });
  });
});
