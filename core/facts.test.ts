import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { encodeFacts, ROLE } from './facts.ts';
import { encodeId } from './ids.ts';
import { BODY_KIND } from './row.ts';
import { codecOf } from '../proto/codec.ts';
import { ContentSchema } from '../proto/gen/parley/v1/content_pb.ts';

const contents = codecOf(ContentSchema);
const ANA = new Uint8Array(16).fill(3);
const BO = new Uint8Array(16).fill(4);

describe('facts of server-made rows', () => {
  it('are the Content that every client reads', () => {
    const created = encodeFacts({ is: 'created', name: 'Crew ⛵', users: [ANA, BO] });
    assert.equal(created.bodyKind, BODY_KIND.created);
    assert.deepEqual(contents.toJson(created.body), {
      created: { name: 'Crew ⛵', userIds: [encodeId('usr', ANA), encodeId('usr', BO)] },
    });
    const removed = encodeFacts({
      is: 'member',
      change: 'removed',
      role: ROLE.admin,
      by: ANA,
      users: [BO],
    });
    assert.deepEqual(contents.toJson(removed.body), {
      member: {
        userIds: [encodeId('usr', BO)],
        change: 'removed',
        role: 'admin',
        by: encodeId('usr', ANA),
      },
    });
    const update = encodeFacts({
      is: 'update',
      fields: ['name', 'closed'],
      name: 'x'.repeat(300),
      closed: true,
    });
    assert.deepEqual(contents.toJson(update.body), {
      update: { fields: ['name', 'closed'], name: 'x'.repeat(300), closed: true },
    });
    const trim = encodeFacts({ is: 'trim', from: 1, through: 2 ** 40 - 1 });
    assert.deepEqual(contents.toJson(trim.body), { trim: { from: 1, through: 2 ** 40 - 1 } });
  });
});
