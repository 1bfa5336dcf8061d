import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import fc from 'fast-check';
import { hex } from '../../core/bytes.ts';
import { COMMAND_KIND, NO_ID } from '../../core/command.ts';
import { encodeCommand } from '../../core/command-codec.ts';
import type { AccountApplied, DirectoryPage } from './contract.ts';
import { createAccountMachine, type DirectoryMachine } from './account-machine.ts';

function id(number: number, space = 1): Uint8Array {
  const raw = new Uint8Array(16).fill(space);
  new DataView(raw.buffer).setUint32(12, number, false);
  return raw;
}

const USER: Uint8Array = id(1);

function membership(conversation: Uint8Array, sequence: number, joined: boolean): Uint8Array {
  const kind = COMMAND_KIND.accountMembership;
  return encodeCommand({
    kind,
    timeMs: 0,
    key: USER,
    caller: NO_ID,
    conversation,
    joined,
    sequence,
  });
}

function revocation(session: Uint8Array): Uint8Array {
  const kind = COMMAND_KIND.accountSessionRevoked;
  return encodeCommand({ kind, timeMs: 0, key: USER, caller: NO_ID, session });
}

class Accounts {
  machine: DirectoryMachine = createAccountMachine();
  readonly stored: Map<number, DirectoryPage> = new Map();
  index = 0;

  constructor() {
    this.machine.load(USER, []);
  }

  apply(command: Uint8Array): AccountApplied {
    return this.machine.apply(++this.index, command);
  }

  flush(): number {
    const pages = this.machine.takeDirty();
    for (const page of pages) this.stored.set(page.page, page);
    this.machine.flushed();
    return pages.length;
  }

  restart(): void {
    this.flush();
    this.machine = createAccountMachine();
    this.machine.load(USER, [...this.stored.values()]);
  }

  ids(which: 'open' | 'left' | 'joined', since = 0): string[] {
    const view = this.machine.view(USER);
    assert.ok(view !== undefined);
    const bytes =
      which === 'open'
        ? view.open()
        : which === 'left'
          ? view.leftSince(since)
          : view.joinedSince(since);
    return Array.from({ length: bytes.length / 16 }, (_, i) =>
      hex(bytes.subarray(i * 16, i * 16 + 16)),
    );
  }
}

describe('an account', () => {
  it('lists what was joined and not left, and what changed since an account sequence', () => {
    const accounts = new Accounts();
    const [one, two, three] = [id(1, 3), id(2, 3), id(3, 3)];
    assert.deepEqual(accounts.apply(membership(one, 1, true)), {
      is: 'joined',
      user: USER,
      conversation: one,
      sequence: 1,
      accountSequence: 1,
    });
    accounts.apply(membership(two, 5, true));
    accounts.apply(membership(one, 9, false));
    accounts.apply(membership(three, 1, true));
    assert.deepEqual(accounts.ids('open'), [hex(two), hex(three)]);
    assert.deepEqual(accounts.ids('left', 2), [hex(one)]);
    assert.deepEqual(accounts.ids('left', 3), []);
    assert.deepEqual(accounts.ids('joined', 2), [hex(three)]);
    assert.equal(accounts.machine.view(USER)?.accountSequence, 4);
  });

  it('keeps the highest sequence, so what the courier repeats or sends late changes nothing (DESIGN §4)', () => {
    const accounts = new Accounts();
    const conversation = id(1, 3);
    accounts.apply(membership(conversation, 9, false));
    assert.deepEqual(accounts.apply(membership(conversation, 4, true)), { is: 'none' });
    assert.deepEqual(accounts.apply(membership(conversation, 9, false)), { is: 'none' });
    assert.deepEqual(accounts.ids('open'), []);
    assert.equal(accounts.apply(membership(conversation, 12, true)).is, 'joined');
    assert.deepEqual(accounts.ids('open'), [hex(conversation)]);
    assert.equal(accounts.machine.view(USER)?.accountSequence, 2);
  });

  it('tells of a revoked session once and remembers the newest 64 (CONTRACT §9 case 32)', () => {
    const accounts = new Accounts();
    for (let i = 1; i <= 70; i++)
      assert.equal(accounts.apply(revocation(id(i, 4))).is, 'session-revoked');
    assert.deepEqual(accounts.apply(revocation(id(70, 4))), { is: 'none' });
    accounts.restart();
    const revoked = accounts.machine.view(USER)?.revokedSessions() ?? new Uint8Array(0);
    assert.equal(revoked.length, 64 * 16);
    assert.deepEqual(revoked.slice(0, 16), id(7, 4));
    assert.deepEqual(revoked.slice(-16), id(70, 4));
  });

  it('spans pages of 256 entries; a change rewrites its page and the head alone', () => {
    const accounts = new Accounts();
    for (let i = 0; i < 600; i++) accounts.apply(membership(id(i, 3), 1, true));
    assert.equal(accounts.flush(), 4);
    assert.equal(accounts.flush(), 0);
    accounts.restart();
    assert.equal(accounts.ids('open').length, 600);
    accounts.apply(membership(id(300, 3), 2, false));
    const pages = accounts.machine.takeDirty();
    assert.deepEqual(
      pages.map((page) => page.page).sort((a, b) => a - b),
      [0, 2],
    );
    assert.deepEqual(accounts.ids('left'), [hex(id(300, 3))]);
  });

  it('stays resident while it is pinned or not yet durable, also if it changed during the flush', () => {
    const accounts = new Accounts();
    const { machine } = accounts;
    machine.pin(USER);
    assert.equal(machine.evict(USER), false);
    machine.unpin(USER);
    accounts.apply(membership(id(1, 3), 1, true));
    assert.equal(machine.evict(USER), false);
    machine.takeDirty();
    assert.equal(machine.evict(USER), false, 'what was taken is not durable yet');
    accounts.apply(membership(id(2, 3), 1, true));
    machine.flushed();
    assert.equal(machine.evict(USER), false);
    assert.equal(machine.takeDirty().length, 2);
    machine.flushed();
    assert.equal(machine.evict(USER), true);
    assert.equal(machine.isResident(USER), false);
  });

  it('gives up the least recently used first', () => {
    const machine = createAccountMachine();
    for (let i = 1; i <= 3; i++) machine.load(id(i), []);
    machine.view(id(1));
    const order: string[] = [];
    machine.eachEvictable((user) => order.push(hex(user)) < 2);
    assert.deepEqual(order, [hex(id(2)), hex(id(3))]);
  });

  it('has the bytes of format 1', () => {
    const accounts = new Accounts();
    accounts.apply(membership(id(0xabcdef, 3), 0x0102030405, true));
    accounts.apply(revocation(id(2, 4)));
    const pages = accounts.machine.takeDirty();
    assert.deepEqual(
      pages.map((page) => hex(page.value)),
      [
        `0101000001000000${'0200000000000000'}${hex(id(2, 4))}${'0200000000000000'}`,
        `0100010000000000${hex(id(0xabcdef, 3))}${'050403020100'}${'010000000000'}${'01000000'}`,
      ],
    );
  });

  it('is the same however often it was flushed and loaded again, and equals a plain fold', () => {
    const step = fc.record({
      conversation: fc.nat(5),
      sequence: fc.integer({ min: 1, max: 8 }),
      joined: fc.boolean(),
      restart: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const accounts = new Accounts();
        const steady = new Accounts();
        const fold = new Map<string, { sequence: number; joined: boolean }>();
        for (const { conversation, sequence, joined, restart } of steps) {
          const raw = id(conversation, 3);
          const command = membership(raw, sequence, joined);
          if (restart) accounts.restart();
          assert.deepEqual(accounts.apply(command), steady.apply(command));
          const known = fold.get(hex(raw));
          if (known === undefined || known.sequence < sequence)
            fold.set(hex(raw), { sequence, joined });
        }
        const open = [...fold].filter(([, entry]) => entry.joined).map(([key]) => key);
        assert.deepEqual(accounts.ids('open').sort(), open.sort());
        accounts.flush();
        steady.flush();
        for (const [page, { value }] of steady.stored)
          assert.deepEqual(accounts.stored.get(page)?.value, value);
      }),
      { numRuns: 200 },
    );
  });
});
