/**
 * Request shapes that CONTRACT §1, §3 and §8 refuse: each is refused with its reason on every carrier
 * that can say it, and nothing is appended (cases 14, 15, 16).
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, it } from 'mocha';
import { decodeId, encodeId, groupConversationRaw, newRawId } from '../../../core/ids.ts';
import { methodNamed } from '../../../gateways/methods.ts';
import type { MethodName } from '../../../gateways/session/method-names.ts';
import { people } from './accounts.ts';
import {
  CARRIERS,
  connect,
  nameOf,
  rawRest,
  refusalIn,
  restCall,
  speaker,
  type Refusal,
  type Speaker,
} from './carriers.ts';
import { sharedServer } from './house.ts';

/** Anna and Ben have a direct and a group; Eve has nothing to do with either. */
interface Scene {
  readonly anna: string;
  readonly ben: string;
  readonly eve: string;
  readonly eveDevice: string;
  readonly device: string;
  readonly direct: string;
  readonly group: string;
  readonly epoch: number;
}

interface Bad {
  readonly about: string;
  readonly method: MethodName;
  readonly reason: string;
  /** What the refusal names. */
  readonly field?: string;
  readonly request: (scene: Scene) => Record<string, unknown>;
}

const NOBODY = encodeId('usr', newRawId(1));
const NOWHERE = encodeId('cnv', groupConversationRaw(newRawId(1), newRawId(2)));
const UUID = '0190a000-0000-7000-8000-00000000000a';

const send =
  (message: object, more: object = {}) =>
  (scene: Scene): Record<string, unknown> => ({
    to: scene.direct,
    clientMessageId: randomUUID(),
    body: { message },
    ...more,
  });
const body =
  (content: object) =>
  (scene: Scene): Record<string, unknown> => ({
    to: scene.direct,
    clientMessageId: randomUUID(),
    body: content,
  });
const said = (text: string): object => ({ text: { body: text } });
const marked = (entity: object, text = 'hello 👋'): object => ({
  text: { body: text, entities: [entity] },
});
const ofGroup =
  (fields: object) =>
  (scene: Scene): Record<string, unknown> => ({ conversationId: scene.group, ...fields });
const sends = (about: string, reason: string, request: Bad['request'], field?: string): Bad => ({
  about,
  method: 'Messages.Send',
  reason,
  request,
  ...(field === undefined ? {} : { field }),
});

const SENDS: readonly Bad[] = [
  sends('no body', 'BAD_FIELD', ({ direct }) => ({ to: direct, clientMessageId: UUID }), 'body'),
  sends('an empty body', 'BAD_FIELD', body({}), 'body'),
  sends('two kinds of content', 'BAD_FIELD', body({ message: said('x'), delete: { target: { sequence: 1 } } })),
  sends('a message without anything', 'BAD_TEXT', body({ message: {} })),
  sends('an empty text', 'BAD_TEXT', send(said(''))),
  sends('8,001 code points', 'BAD_TEXT', send(said('x'.repeat(8001)))),
  sends('65 KiB', 'PAYLOAD_TOO_LARGE', send(said('x'.repeat(65 * 1024)))),
  sends('65 KiB of bad text', 'PAYLOAD_TOO_LARGE', send(said(`${'x'.repeat(65 * 1024)}\u0000`))),
  sends('a lone high surrogate', 'BAD_TEXT', send(said('a\ud800'))),
  sends('a lone low surrogate', 'BAD_TEXT', send(said('\udc00b'))),
  sends('surrogates in the wrong order', 'BAD_TEXT', send(said('\udc00\ud800'))),
  sends('U+0000', 'BAD_TEXT', send(said('a\u0000b'))),
  sends('a control character', 'BAD_TEXT', send(said('a\u001bb'))),
  sends('a carriage return', 'BAD_TEXT', send(said('a\r\nb'))),
  sends('an unknown field in the text', 'UNKNOWN_FIELD', send({ text: { body: 'x', colour: 1 } }), 'body.message.text.colour'),
  sends('an unknown field at the top', 'UNKNOWN_FIELD', send(said('x'), { urgent: true }), 'urgent'),
  sends('an unknown kind of content', 'UNKNOWN_FIELD', body({ poll: {} }), 'body.poll'),
  sends('an unknown entity', 'UNKNOWN_FIELD', send(marked({ type: 'blink', offset: 0, length: 1 })), 'body.message.text.entities[0].type'),
  sends('an entity without a type', 'UNKNOWN_FIELD', send(marked({ offset: 0, length: 1 }))),
  sends('an entity beyond the text', 'BAD_FIELD', send(marked({ type: 'bold', offset: 5, length: 4 })), 'body.message.text.entities[0]'),
  sends('an entity before the text', 'BAD_FIELD', send(marked({ type: 'bold', offset: -1, length: 2 }))),
  sends('an entity of no length', 'BAD_FIELD', send(marked({ type: 'bold', offset: 0, length: 0 }))),
  sends('an entity that ends inside a pair', 'BAD_FIELD', send(marked({ type: 'bold', offset: 0, length: 7 }))),
  sends('an entity that begins inside a pair', 'BAD_FIELD', send(marked({ type: 'bold', offset: 7, length: 1 }))),
  sends('a mention of no id', 'BAD_ID', send(marked({ type: 'mention', offset: 0, length: 1, userId: 'ben' }))),
  sends('a link without a URL', 'BAD_TEXT', send(marked({ type: 'link', offset: 0, length: 1 }))),
  sends('bold with a URL', 'BAD_FIELD', send(marked({ type: 'bold', offset: 0, length: 1, url: 'https://x' }))),
  sends('a schema that is no reverse domain', 'BAD_FIELD', send({ custom: { schema: 'poll', data: 'AA==' } })),
  sends('custom data above 16 KiB', 'PAYLOAD_TOO_LARGE', send({ custom: { schema: 'org.example.poll/1', data: Buffer.alloc(16 * 1024 + 1).toString('base64') } })),
  sends('bytes that are no base64', 'BAD_FIELD', send({ custom: { schema: 'org.example.poll/1', data: '%%%' } })),
  sends('a fallback above 500', 'BAD_TEXT', send({ ...said('x'), fallback: 'x'.repeat(501) })),
  sends('a negative reply', 'BAD_FIELD', send({ ...said('x'), replyTo: -1 })),
  sends('a forward of no message id', 'BAD_ID', send({ ...said('x'), forwardOf: 'msg_1' })),
  sends('an attachment that is no media', 'BAD_ID', send({ attachments: [{ mediaId: 'med_x' }] })),
  sends('an attachment that nobody uploaded', 'MEDIA_UNKNOWN', send({ attachments: [{ mediaId: encodeId('med', newRawId(1)) }] })),
  sends('eleven attachments', 'BAD_FIELD', send({ attachments: Array.from({ length: 11 }, () => ({ mediaId: encodeId('med', new Uint8Array(16)) })) })),
  sends('a row that only the server makes', 'BAD_FIELD', body({ created: { name: 'x' } }), 'body.created'),
  sends('a trim', 'BAD_FIELD', body({ trim: { from: 1, through: 2 } }), 'body.trim'),
  sends('sealed content in an open conversation', 'ENCRYPTION_MISMATCH', body({ sealed: { scheme: 'mls', version: 1, kind: 'app', ciphertext: 'AA==' } })),
  sends('a delete without a target', 'BAD_FIELD', body({ delete: {} })),
  sends('a delete with two targets', 'BAD_FIELD', body({ delete: { target: { sequence: 1, clientSeq: 1 } } })),
  sends('a delete of a message that is not there', 'MESSAGE_UNKNOWN', body({ delete: { target: { sequence: 99 } } })),
  sends('an edit without a message', 'BAD_FIELD', body({ edit: { target: { sequence: 1 } } })),
  sends('an edit to nothing', 'BAD_TEXT', body({ edit: { target: { sequence: 1 }, message: said('') } })),
  sends('a reaction neither put nor taken', 'UNKNOWN_FIELD', body({ reaction: { target: { sequence: 1 }, emoji: '👍', op: 'toggle' } })),
  sends('a reaction, which comes later', 'FEATURE_DISABLED', body({ reaction: { target: { sequence: 1 }, emoji: '👍', op: 'add' } })),
  sends('a body that is text', 'BAD_FIELD', ({ direct }) => ({ to: direct, body: 'hello' })),
  sends('a list where text belongs', 'BAD_FIELD', send({ text: { body: ['x'] } })),
  sends('a number where text belongs', 'BAD_FIELD', send({ text: { body: 7 } })),
  sends('an address that is nothing', 'BAD_ID', send(said('x'), { to: 'ben' }), 'to'),
  sends('an id of another kind', 'BAD_ID', (scene) => send(said('x'), { to: scene.ben })(scene), 'to'),
  sends('an id in upper case', 'BAD_ID', (scene) => send(said('x'), { to: scene.direct.toUpperCase() })(scene)),
  sends('an id that is too short', 'BAD_ID', (scene) => send(said('x'), { to: scene.direct.slice(0, -1) })(scene)),
  sends('the id of nobody', 'BAD_ID', send(said('x'), { to: `cnv_${'0'.repeat(26)}` })),
  sends('a conversation id of another version', 'BAD_ID', (scene) => send(said('x'), { to: encodeId('cnv', decodeId('usr', scene.ben) ?? newRawId(1)) })(scene)),
  sends('a user id of another version', 'BAD_ID', (scene) => send(said('x'), { to: `direct:${encodeId('usr', decodeId('cnv', scene.group) ?? newRawId(1))}` })(scene)),
  sends('the nil UUID as a name', 'BAD_ID', send(said('x'), { clientMessageId: '00000000-0000-0000-0000-000000000000' })),
  sends('a direct with no user', 'BAD_ID', send(said('x'), { to: 'direct:' })),
  sends('a direct with an unknown user', 'USER_UNKNOWN', send(said('x'), { to: `direct:${NOBODY}` })),
  sends('a name that is no UUID', 'BAD_ID', send(said('x'), { clientMessageId: 'one' }), 'clientMessageId'),
  sends('an outbox that is no UUID', 'BAD_ID', send(said('x'), { outboxId: 'one', clientSeq: 1 }), 'outboxId'),
  sends('a number without an outbox', 'BAD_FIELD', send(said('x'), { clientSeq: 1 }), 'clientSeq'),
  sends('an outbox without a number', 'BAD_FIELD', send(said('x'), { outboxId: UUID }), 'clientSeq'),
  sends('an outbox without a name', 'BAD_ID', send(said('x'), { outboxId: UUID, clientSeq: 1, clientMessageId: '' })),
  sends('a negative number', 'BAD_FIELD', send(said('x'), { outboxId: UUID, clientSeq: -1 })),
  sends('a number that is not whole', 'BAD_FIELD', send(said('x'), { outboxId: UUID, clientSeq: 1.5 })),
  sends('a number above 2^53 - 1', 'BAD_FIELD', send(said('x'), { outboxId: UUID, clientSeq: '9007199254740992' })),
  sends('after not below the number', 'BAD_FIELD', send(said('x'), { outboxId: UUID, clientSeq: 3, after: 3 }), 'after'),
  sends('another’s conversation', 'CONVERSATION_UNKNOWN', send(said('x'), { to: NOWHERE })),
]; // biome-ignore format: a table

const CALLS: readonly Bad[] = [
  { about: 'a group without a name', method: 'Conversations.Create', reason: 'BAD_TEXT', request: () => ({ requestId: randomUUID() }) },
  { about: 'a group without a request id', method: 'Conversations.Create', reason: 'BAD_ID', field: 'requestId', request: () => ({ name: 'x' }) },
  { about: 'a group with the nil UUID as request id', method: 'Conversations.Create', reason: 'BAD_ID', field: 'requestId', request: () => ({ requestId: '00000000-0000-0000-0000-000000000000', name: 'x' }) },
  { about: 'a group with a name of 101', method: 'Conversations.Create', reason: 'BAD_TEXT', request: () => ({ requestId: randomUUID(), name: 'x'.repeat(101) }) },
  { about: 'a group with an unknown user', method: 'Conversations.Create', reason: 'USER_UNKNOWN', request: () => ({ requestId: randomUUID(), name: 'x', members: [NOBODY] }) },
  { about: 'a group with no user id', method: 'Conversations.Create', reason: 'BAD_ID', request: () => ({ requestId: randomUUID(), name: 'x', members: ['ben'] }) },
  { about: 'a group with unknown settings', method: 'Conversations.Create', reason: 'UNKNOWN_FIELD', request: () => ({ requestId: randomUUID(), name: 'x', settings: { send: 'nobody' } }) },
  { about: 'a group with a negative slow mode', method: 'Conversations.Create', reason: 'BAD_FIELD', request: () => ({ requestId: randomUUID(), name: 'x', settings: { slowModeMs: -1 } }) },
  { about: 'a group slower than a day', method: 'Conversations.Create', reason: 'BAD_FIELD', request: () => ({ requestId: randomUUID(), name: 'x', settings: { slowModeMs: 86_400_001 } }) },
  { about: 'an encryption that is none', method: 'Conversations.Create', reason: 'UNKNOWN_FIELD', request: () => ({ requestId: randomUUID(), name: 'x', encryption: 'rot13' }) },
  { about: 'an encryption that comes later', method: 'Conversations.Create', reason: 'FEATURE_DISABLED', request: () => ({ requestId: randomUUID(), name: 'x', encryption: 'mls' }) },
  { about: 'a change of nothing', method: 'Conversations.Update', reason: 'BAD_FIELD', request: ofGroup({ conversation: {} }) },
  { about: 'a change of what cannot change', method: 'Conversations.Update', reason: 'BAD_FIELD', request: ofGroup({ conversation: { name: 'y' }, updateMask: ['creatorUserId'] }) },
  { about: 'a change to a control character', method: 'Conversations.Update', reason: 'BAD_TEXT', request: ofGroup({ conversation: { name: 'a\u0007' } }) },
  { about: 'a part of the settings', method: 'Conversations.Update', reason: 'BAD_FIELD', field: 'conversation.settings.history', request: ofGroup({ conversation: { settings: { slowModeMs: 5 } } }) },
  { about: 'a stale version', method: 'Conversations.Update', reason: 'VERSION_CONFLICT', request: ofGroup({ conversation: { name: 'y' }, ifMatch: '999' }) },
  { about: 'a close of a stale version', method: 'Conversations.Close', reason: 'VERSION_CONFLICT', request: ofGroup({ ifMatch: '999' }) },
  { about: 'adding to a stale version', method: 'Conversations.AddMembers', reason: 'VERSION_CONFLICT', request: (scene) => ({ conversationId: scene.group, userIds: [scene.eve], ifMatch: '999' }) },
  { about: 'a role in a stale version', method: 'Conversations.UpdateMember', reason: 'VERSION_CONFLICT', request: (scene) => ({ conversationId: scene.group, userId: scene.ben, role: 'admin', ifMatch: '999' }) },
  { about: 'removing from a stale version', method: 'Conversations.RemoveMember', reason: 'VERSION_CONFLICT', request: (scene) => ({ conversationId: scene.group, userId: scene.ben, ifMatch: '999' }) },
  { about: 'adding nobody', method: 'Conversations.AddMembers', reason: 'BAD_FIELD', request: ofGroup({ userIds: [] }) },
  { about: 'adding an unknown user', method: 'Conversations.AddMembers', reason: 'USER_UNKNOWN', request: ofGroup({ userIds: [NOBODY] }) },
  { about: 'adding with an unknown role', method: 'Conversations.AddMembers', reason: 'UNKNOWN_FIELD', request: (scene) => ({ conversationId: scene.group, userIds: [scene.eve], role: 'king' }) },
  { about: 'adding to a direct', method: 'Conversations.AddMembers', reason: 'ROLE_REQUIRED', request: (scene) => ({ conversationId: scene.direct, userIds: [scene.eve] }) },
  { about: 'a role that is missing', method: 'Conversations.UpdateMember', reason: 'BAD_FIELD', field: 'role', request: (scene) => ({ conversationId: scene.group, userId: scene.ben }) },
  { about: 'a role for who is no member', method: 'Conversations.UpdateMember', reason: 'USER_UNKNOWN', request: (scene) => ({ conversationId: scene.group, userId: scene.eve, role: 'admin' }) },
  { about: 'the last owner stepping down', method: 'Conversations.UpdateMember', reason: 'LAST_OWNER', request: (scene) => ({ conversationId: scene.group, userId: scene.anna, role: 'member' }) },
  { about: 'the last owner leaving', method: 'Conversations.RemoveMember', reason: 'LAST_OWNER', request: (scene) => ({ conversationId: scene.group, userId: scene.anna }) },
  { about: 'settings of nothing', method: 'Conversations.SetMyState', reason: 'BAD_FIELD', request: ofGroup({ me: {} }) },
  { about: 'settings that are not one’s own', method: 'Conversations.SetMyState', reason: 'BAD_FIELD', request: ofGroup({ me: { role: 'owner' }, updateMask: ['role'] }) },
  { about: 'an unknown kind of notice', method: 'Conversations.SetMyState', reason: 'UNKNOWN_FIELD', request: ofGroup({ me: { notify: 'loudly' } }) },
  { about: 'muted until before time began', method: 'Conversations.SetMyState', reason: 'BAD_FIELD', request: ofGroup({ me: { muteUntilMs: -1 } }) },
  { about: 'the conversation of nobody', method: 'Conversations.Get', reason: 'BAD_ID', request: () => ({ conversationId: `cnv_${'0'.repeat(25)}1` }) },
  { about: 'two ways to page', method: 'Messages.List', reason: 'BAD_FIELD', request: ofGroup({ before: 3, after: 1 }) },
  { about: 'a page before nothing', method: 'Messages.List', reason: 'BAD_FIELD', request: ofGroup({ before: -3 }) },
  { about: 'a limit that is no number', method: 'Messages.List', reason: 'BAD_FIELD', request: ofGroup({ limit: 'many' }) },
  { about: 'rows of another epoch', method: 'Messages.ListRows', reason: 'CURSOR_TRUNCATED', request: ofGroup({ cursor: { epoch: 1, sequence: 1 } }) },
  { about: 'rows below nothing', method: 'Messages.ListRows', reason: 'CURSOR_TRUNCATED', request: (scene) => ({ conversationId: scene.group, cursor: { epoch: scene.epoch, sequence: -1 } }) },
  { about: 'receipts of a message that is not there', method: 'Messages.ListReceipts', reason: 'MESSAGE_UNKNOWN', request: ofGroup({ sequence: 99 }) },
  { about: 'a page token that nobody gave', method: 'Sync.SyncConversation', reason: 'BAD_PAGE_TOKEN', request: (scene) => ({ conversationId: scene.group, cursor: { epoch: scene.epoch, sequence: 1 }, pageToken: 'x' }) },
  { about: 'a sync token that nobody gave', method: 'Sync.ListConversations', reason: 'BAD_CURSOR', request: () => ({ since: 'yesterday' }) },
  { about: 'a page of conversations that nobody gave', method: 'Sync.ListConversations', reason: 'BAD_PAGE_TOKEN', request: () => ({ pageToken: 'x' }) },
  { about: 'a negative count of messages', method: 'Sync.ListConversations', reason: 'BAD_FIELD', request: () => ({ messages: -1 }) },
  { about: 'a mark of a bad id', method: 'Messages.Report', reason: 'BAD_ID', request: () => ({ read: [{ conversationId: 'x', sequence: 1 }] }) },
  { about: 'a negative mark', method: 'Messages.Report', reason: 'BAD_FIELD', request: (scene) => ({ read: [{ conversationId: scene.group, sequence: -1 }] }) },
  { about: 'more marks than a report holds', method: 'Messages.Report', reason: 'BAD_FIELD', request: (scene) => ({ read: Array.from({ length: 1001 }, () => ({ conversationId: scene.group, epoch: scene.epoch, sequence: 1 })) }) },
  { about: 'receipts of message 0', method: 'Messages.ListReceipts', reason: 'MESSAGE_UNKNOWN', request: ofGroup({ sequence: 0 }) },
  { about: 'a user that is no id', method: 'Users.Get', reason: 'BAD_ID', request: () => ({ userId: 'ben' }) },
  { about: 'a user that is not there', method: 'Users.Get', reason: 'USER_UNKNOWN', request: () => ({ userId: NOBODY }) },
  { about: 'a profile with a bad name', method: 'Users.UpdateMe', reason: 'BAD_TEXT', request: () => ({ user: { displayName: 'a\u0000' } }) },
  { about: 'a profile with too long a name', method: 'Users.UpdateMe', reason: 'BAD_TEXT', request: () => ({ user: { displayName: 'x'.repeat(101) } }) },
  { about: 'a profile with an unknown privacy', method: 'Users.UpdateMe', reason: 'UNKNOWN_FIELD', request: () => ({ user: { privacy: { reads: 'some' } } }) },
  { about: 'a profile with nothing that changes', method: 'Users.UpdateMe', reason: 'BAD_FIELD', request: () => ({ user: {} }) },
  { about: 'a profile whose kind changes', method: 'Users.UpdateMe', reason: 'BAD_FIELD', request: () => ({ user: { kind: 'bot' }, updateMask: ['kind'] }) },
  { about: 'a status text of 101', method: 'Users.UpdateMe', reason: 'BAD_TEXT', request: () => ({ user: { statusText: 'x'.repeat(101) } }) },
  { about: 'a stale profile', method: 'Users.UpdateMe', reason: 'VERSION_CONFLICT', request: () => ({ user: { statusText: 'x' }, ifMatch: 'v0' }) },
  { about: 'a search for a control character', method: 'Users.Search', reason: 'BAD_TEXT', request: () => ({ query: 'a\u0000' }) },
  { about: 'a search by name and id', method: 'Users.Search', reason: 'BAD_FIELD', request: () => ({ query: 'a', ids: [NOBODY] }) },
  { about: '201 users at once', method: 'Users.Search', reason: 'BAD_FIELD', request: () => ({ ids: Array.from({ length: 201 }, () => NOBODY) }) },
  { about: 'a device with nothing that changes', method: 'Devices.Update', reason: 'BAD_FIELD', request: (scene) => ({ deviceId: scene.device, device: {} }) },
  { about: 'a device whose id changes', method: 'Devices.Update', reason: 'BAD_FIELD', request: (scene) => ({ deviceId: scene.device, device: { name: 'x' }, updateMask: ['deviceId'] }) },
  { about: 'a stale device', method: 'Devices.Update', reason: 'VERSION_CONFLICT', request: (scene) => ({ deviceId: scene.device, device: { name: 'x' }, ifMatch: 'v0' }) },
  { about: 'another’s device renamed', method: 'Devices.Update', reason: 'DEVICE_UNKNOWN', request: (scene) => ({ deviceId: scene.eveDevice, device: { name: 'mine' } }) },
  { about: 'another’s device removed', method: 'Devices.Remove', reason: 'DEVICE_UNKNOWN', request: (scene) => ({ deviceId: scene.eveDevice }) },
  { about: 'a device that is no id', method: 'Devices.Remove', reason: 'BAD_ID', request: () => ({ deviceId: 'phone' }) },
  { about: 'a session that is no id', method: 'Auth.RevokeSession', reason: 'BAD_ID', request: () => ({ sessionId: 'this' }) },
  { about: 'a user name in capitals', method: 'Auth.SignUp', reason: 'BAD_TEXT', request: () => ({ username: 'Anna', password: '12345678' }) },
  { about: 'a short password', method: 'Auth.SignUp', reason: 'WEAK_PASSWORD', request: () => ({ username: 'short.password', password: '1234567' }) },
  { about: 'a change of password without the old one', method: 'Auth.ChangePassword', reason: 'LOGIN_FAILED', request: () => ({ oldPassword: 'not this one', newPassword: '12345678' }) },
  { about: 'a wrong password', method: 'Auth.LogIn', reason: 'LOGIN_FAILED', request: () => ({ username: 'who.is.this', password: '12345678' }) },
  { about: 'a refresh token that nobody gave', method: 'Auth.Refresh', reason: 'TOKEN_INVALID', request: () => ({ refreshToken: 'x' }) },
]; // biome-ignore format: a table

for (const carrier of CARRIERS) {
  describe(`bad input on ${nameOf(carrier)} (cases 14, 15, 16)`, () => {
    const server = sharedServer();
    let scene: Scene;
    let anna: Speaker;
    before(async () => {
      const { url } = server();
      const [a, b, e] = await people(url, 3);
      assert.ok(a !== undefined && b !== undefined && e !== undefined);
      anna = await speaker(url, a, carrier);
      const { conversationId: direct } = await anna.say(`direct:${b.userId}`, 'hello');
      const group = await anna.group([b]);
      scene = {
        anna: a.userId,
        ben: b.userId,
        eve: e.userId,
        eveDevice: e.deviceId,
        device: a.deviceId,
        direct,
        group: group.conversationId,
        epoch: group.epoch,
      };
    });

    for (const bad of [...SENDS, ...CALLS])
      it(`${bad.method}: ${bad.about} is ${bad.reason}`, async () => {
        const request = bad.request(scene);
        if (carrier === 'proto' && !canEncode(bad.method, request)) return;
        const refusal = await asked(server().url, anna, bad.method, request);
        assert.equal(refusal?.reason, bad.reason, JSON.stringify(refusal));
        // What a frame's reader refuses is named from the top of the frame.
        const named = refusal.details['path'] ?? refusal.details['field'];
        if (bad.field !== undefined && carrier !== 'proto')
          assert.equal(named?.replace(/^send\./, ''), bad.field);
      });

    it('and nothing was appended by any of them', async () => {
      const { conversations } = await anna.do('Sync.ListConversations', {});
      const heads = conversations.map(({ conversationId, head }) => [conversationId, head]);
      assert.deepEqual(Object.fromEntries(heads), { [scene.group]: 1, [scene.direct]: 1 });
      const group = await anna.do('Conversations.Get', { conversationId: scene.group });
      assert.deepEqual([group.name, group.memberCount], ['a group', 2]);
    });
  });
}

describe('bad input that only one carrier can say', () => {
  const server = sharedServer();

  it('protobuf: an unknown field, anywhere, is UNKNOWN_FIELD; broken UTF-8 BAD_TEXT', async () => {
    const { url } = server();
    const [anna, ben] = await people(url, 2);
    assert.ok(anna !== undefined && ben !== undefined);
    const client = await connect(url, 'proto');
    await client.hello(anna.accessToken);
    const content = (inner: readonly number[]): number[] => field(1, field(1, inner));
    const paths: (string | undefined)[] = [];
    const told = async (id: number, send: readonly number[]): Promise<string | undefined> => {
      const frame = [8, id, ...field(3, [...field(1, bytes(`direct:${ben.userId}`)), ...send])];
      client.raw(Buffer.from([...varint(frame.length), ...frame]));
      const { error } = await client.until((answer) => answer.id === id);
      paths.push(error?.metadata['path']);
      return error?.reason;
    };
    const good = field(1, bytes('hi'));
    assert.equal(await told(101, field(6, content([...good, ...field(99, [1])]))), 'UNKNOWN_FIELD');
    assert.equal(await told(102, [...field(6, content(good)), ...field(60, [1])]), 'UNKNOWN_FIELD');
    assert.deepEqual(
      paths,
      ['send.body.message.text.#99', 'send.#60'],
      'numbers, for it has no names',
    );
    assert.equal(await told(103, field(6, content(field(1, [0xed, 0xa0, 0x80])))), 'BAD_TEXT');
    assert.equal(await told(104, field(6, content(field(1, [0xff])))), 'BAD_TEXT');
    assert.equal(await told(105, field(6, content(good))), undefined);
    const reader = await speaker(url, ben, 'rest');
    const { rows } = await reader.do('Messages.ListRows', {
      conversationId: `direct:${anna.userId}`,
    });
    assert.equal(rows.length, 1);
    client.close();
  });

  it('REST: what is no JSON object is MALFORMED, more than a frame PAYLOAD_TOO_LARGE', async () => {
    const { url } = server();
    const [anna, ben] = await people(url, 2);
    assert.ok(anna !== undefined && ben !== undefined);
    const target = new URL(`/v1/conversations/direct:${ben.userId}/messages`, url);
    const headers = { authorization: `Bearer ${anna.accessToken}` };
    const post = async (data: string): Promise<[number, string]> => {
      const answer = await rawRest(target, { method: 'POST', headers, body: data });
      return [answer.status, refusalIn(answer.body).reason];
    };
    assert.deepEqual(await post('{'), [400, 'MALFORMED']);
    assert.deepEqual(await post('[]'), [400, 'MALFORMED']);
    assert.deepEqual(await post('"x"'), [400, 'MALFORMED']);
    assert.deepEqual(await post('x'.repeat(257 * 1024)), [413, 'PAYLOAD_TOO_LARGE']);
    const other = JSON.stringify({ to: `direct:${anna.userId}`, body: {} });
    assert.deepEqual(await post(other), [400, 'BAD_FIELD'], 'path and body differ');
  });

  it('REST: unknown query fields, paths, methods and a bad Idempotency-Key are refused', async () => {
    const { url } = server();
    const [anna] = await people(url, 1);
    assert.ok(anna !== undefined);
    const ask = async (verb: string, path: string, headers = {}): Promise<[number, string]> => {
      const answer = await rawRest(new URL(path, url), {
        method: verb,
        headers: { authorization: `Bearer ${anna.accessToken}`, ...headers },
      });
      return [answer.status, refusalIn(answer.body).reason];
    };
    assert.deepEqual(await ask('GET', '/v1/conversations?colour=red'), [400, 'UNKNOWN_FIELD']);
    assert.deepEqual(await ask('GET', '/v1/conversations?__proto__.x=1'), [400, 'UNKNOWN_FIELD']);
    assert.deepEqual(await ask('GET', '/v1/nothing'), [501, 'PROTOCOL_UNSUPPORTED']);
    assert.deepEqual(await ask('PUT', '/v1/conversations'), [501, 'PROTOCOL_UNSUPPORTED']);
    const key = { 'idempotency-key': 'x'.repeat(129) };
    assert.deepEqual(await ask('POST', '/v1/conversations', key), [400, 'BAD_FIELD']);
  });

  it('REST: message 0 is MESSAGE_UNKNOWN, not a page', async () => {
    const { url } = server();
    const [anna] = await people(url, 1);
    assert.ok(anna !== undefined);
    const reader = await speaker(url, anna, 'rest');
    const { conversationId } = await reader.say(`direct:${anna.userId}`, 'a note');
    const one = async (n: number): Promise<unknown> => {
      const target = new URL(`/v1/conversations/${conversationId}/messages/${n}`, url);
      const headers = { authorization: `Bearer ${anna.accessToken}` };
      return (await rawRest(target, { method: 'GET', headers })).body['reason'];
    };
    assert.deepEqual(await Promise.all([0, 1, 2, -1].map(one)), [
      'MESSAGE_UNKNOWN',
      undefined,
      'MESSAGE_UNKNOWN',
      'BAD_FIELD',
    ]);
  });

  it('REST: no token and one of nobody are TOKEN_INVALID on every method but the public ones', async () => {
    const { url } = server();
    const id = encodeId('cnv', new Uint8Array(16));
    for (const method of [
      'Messages.List',
      'Messages.Send',
      'Users.Get',
      'Auth.ListSessions',
    ] as const) {
      const fields = { conversationId: id, to: id, userId: NOBODY };
      for (const token of ['x', 'eyJhbGciOiJub25lIn0.e30.', 'pst_notatoken'])
        assert.deepEqual(
          (await restCall(url, { method, fields, token })).body['reason'],
          'TOKEN_INVALID',
        );
    }
    const bare = await rawRest(new URL('/v1/users/me', url), { method: 'GET' });
    assert.deepEqual([bare.status, bare.body['reason']], [401, 'TOKEN_INVALID']);
  });

  it('WebSocket: 33 sends under way to one conversation and 257 requests are IN_FLIGHT_EXCEEDED', async () => {
    const { url } = server();
    const [anna, ben] = await people(url, 2);
    assert.ok(anna !== undefined && ben !== undefined);
    const client = await connect(url, 'json');
    await client.hello(anna.accessToken);
    const to = `direct:${ben.userId}`;
    const sendOf = (n: number): object => ({
      id: 1000 + n,
      send: { to, clientMessageId: randomUUID(), body: { message: said(`${n}`) } },
    });
    // One WebSocket message: all of it is judged before anything of it can be answered.
    client.raw(JSON.stringify(Array.from({ length: 40 }, (_, n) => sendOf(n))));
    const callOf = (n: number): object => ({
      id: 2000 + n,
      call: { method: 'Users.Get', request: { userId: 'me' } },
    });
    client.raw(JSON.stringify(Array.from({ length: 300 }, (_, n) => callOf(n))));
    await client.until(() => client.frames.filter(({ id }) => id >= 1000).length === 340);
    const refused = client.frames.filter(({ id, error }) => id >= 1000 && error !== undefined);
    assert.ok(refused.length >= 8, `${refused.length} refused`);
    assert.deepEqual(
      [...new Set(refused.map(({ error }) => error?.reason))],
      ['IN_FLIGHT_EXCEEDED'],
    );
    const sent = client.frames.filter(({ commit }) => commit !== undefined).length;
    assert.equal(sent, 32);
    const reader = await speaker(url, ben, 'rest');
    const { rows } = await reader.do('Messages.ListRows', {
      conversationId: `direct:${anna.userId}`,
      limit: 100,
    });
    assert.equal(rows.length, 32, 'what was refused is not there');
    client.close();
  });
});

/** undefined = it was not refused. */
async function asked(
  url: string,
  { carrier, socket, token }: Speaker,
  method: MethodName,
  fields: Record<string, unknown>,
): Promise<Refusal | undefined> {
  if (socket === undefined) {
    const answer = await restCall(url, { method, fields, token });
    return answer.status < 300 ? undefined : refusalIn(answer.body);
  }
  const id = 1_000_000 + Math.floor(Math.random() * 1e9);
  if (carrier === 'proto') {
    const { error } = await protoAsked(socket, method, fields);
    return error === undefined ? undefined : { ...error, details: error.metadata };
  }
  const frame =
    method === 'Messages.Send' ? { send: fields } : { call: { method, request: fields } };
  socket.raw(JSON.stringify({ id, ...frame }));
  const ended = socket.ended.then(({ code }) => assert.fail(`the connection ended with ${code}`));
  const { error } = await Promise.race([socket.until((answer) => answer.id === id), ended]);
  return error === undefined ? undefined : { ...error, details: error.metadata };
}

function protoAsked(
  socket: NonNullable<Speaker['socket']>,
  method: MethodName,
  fields: Record<string, unknown>,
): ReturnType<typeof socket.ask> {
  const request = methodNamed(method).input.fromJson(fields);
  return method === 'Messages.Send'
    ? socket.ask({ send: request as object })
    : socket.call(method, request);
}

/** What JSON alone can say wrongly, protobuf cannot say at all. */
function canEncode(method: MethodName, fields: Record<string, unknown>): boolean {
  if (/\\ud[89a-f]/.test(JSON.stringify(fields))) return false;
  try {
    const { input } = methodNamed(method);
    input.encode(input.fromJson(fields) as never);
    return true;
  } catch {
    return false;
  }
}

function field(number: number, inside: readonly number[]): number[] {
  return [...varint(number * 8 + 2), ...varint(inside.length), ...inside];
}

function bytes(text: string): number[] {
  return [...Buffer.from(text)];
}

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...varint(value >>> 7)];
}
