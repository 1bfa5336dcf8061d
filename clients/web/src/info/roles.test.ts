import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { roleChoices } from './roles.ts';

describe('what a role may do to another', () => {
  it('owners set every role and remove', () => {
    assert.deepEqual(roleChoices('owner', 'admin'), {
      roles: ['owner', 'member'],
      canRemove: true,
    });
  });

  it('admins remove members and guests and set no roles', () => {
    assert.deepEqual(roleChoices('admin', 'member'), { roles: [], canRemove: true });
    assert.equal(roleChoices('admin', 'owner'), undefined);
    assert.equal(roleChoices('admin', 'admin'), undefined);
  });

  it('members, guests and former members do nothing', () => {
    assert.equal(roleChoices('member', 'member'), undefined);
    assert.equal(roleChoices('guest', 'guest'), undefined);
    assert.equal(roleChoices(undefined, 'member'), undefined);
  });
});
