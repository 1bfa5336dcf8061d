import assert from 'node:assert/strict';
import type { ServiceRow } from '@parley/sdk';
import { describe, it } from 'mocha';
import { serviceText, usersOf } from './service-text.ts';

const name = (id: string): string => id.toUpperCase();
const row = (more: Partial<ServiceRow>): ServiceRow => ({
  is: 'service',
  key: 'k',
  sequence: 1,
  timeMs: 1,
  ...more,
});

describe('service rows', () => {
  it('say who made a group and how it is called', () => {
    const made = row({ created: { name: 'Crew', by: 'a', users: ['a', 'b'] } });
    assert.equal(serviceText(made, name), 'A made the group “Crew”');
    assert.match(
      serviceText(made, () => 'you'),
      /^You made/,
    );
  });

  it('say who added, removed, left and which role', () => {
    const text = (member: ServiceRow['member']): string =>
      serviceText(row(member === undefined ? {} : { member }), name);
    assert.equal(text({ change: 'added', userIds: ['b', 'c'], by: 'a' }), 'A added B and C');
    assert.equal(text({ userIds: ['b'], by: 'a' }), 'A added B');
    assert.equal(text({ change: 'removed', userIds: ['b'], by: 'a' }), 'A removed B');
    assert.equal(text({ change: 'left', userIds: ['b'] }), 'B left');
    assert.equal(text({ change: 'joined', userIds: ['b'] }), 'B joined');
    assert.equal(text({ change: 'role', userIds: ['b'], role: 'admin' }), 'B is now an admin');
    assert.equal(text({ change: 'role', userIds: ['b'], role: 'member' }), 'B is now a member');
  });

  it('speak to oneself as one does', () => {
    const you = (): string => 'you';
    const role = row({ member: { change: 'role', userIds: ['a'], role: 'admin' } });
    assert.equal(serviceText(role, you), 'You are now an admin');
    const removed = row({ member: { change: 'removed', userIds: ['a'] } });
    assert.equal(serviceText(removed, you), 'You were removed');
  });

  it('a long list of people is cut', () => {
    const member = { change: 'added' as const, userIds: ['b', 'c', 'd', 'e', 'f', 'g'], by: 'a' };
    assert.equal(serviceText(row({ member }), name), 'A added B, C, D, E and 2 more');
    assert.equal(usersOf(row({ member })).length, 7);
  });

  it('a rename tells the name, other settings that they changed', () => {
    const renamed = row({ update: { fields: ['name'], name: 'Crew 48' } });
    assert.match(serviceText(renamed, name), /Crew 48/);
    assert.match(serviceText(row({ update: { fields: ['closed'] } }), name), /settings changed/);
  });
});
