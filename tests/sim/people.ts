/** What the people of a world do, drawn by chance. */
import { decodeId, encodeId, encodeUuid, groupConversationRaw } from '../../core/ids.ts';
import type { Chance } from './chance.ts';
import type { KnownConversation } from './known-conversations.ts';
import type { ScriptedDevice } from './scripted-device.ts';
import type { Account } from './virtual-accounts.ts';
import { count, object, text, type Json } from './wire.ts';

export interface Deleted {
  readonly conversation: string;
  readonly sequence: number;
  readonly atMs: number;
}

export interface PeopleParts {
  readonly chance: Chance;
  readonly accounts: readonly Account[];
  readonly devices: readonly ScriptedDevice[];
  readonly nowMs: () => number;
  readonly broken: (what: string) => void;
}

const GROUP_REFUSALS: ReadonlySet<string> = new Set([
  'NOT_A_MEMBER',
  'ROLE_REQUIRED',
  'LAST_OWNER',
  'CONVERSATION_UNKNOWN',
  'USER_UNKNOWN',
]);

export class People {
  /** Groups that were asked for: their conversation ids. */
  readonly groups: Set<string> = new Set();
  readonly deleted: Deleted[] = [];
  readonly #parts: PeopleParts;
  #said = 0;

  constructor(parts: PeopleParts) {
    this.#parts = parts;
  }

  act(): void {
    const { chance, devices } = this.#parts;
    const device = chance.pick(devices);
    const u = chance.unit();
    if (u < 0.5) this.#talk(device);
    else if (u < 0.58) this.#createGroup(device);
    else if (u < 0.7) this.#changeMembers(device);
    else if (u < 0.82) this.#changeMessage(device);
    else if (u < 0.95) this.#read(device);
    else this.#settings(device);
  }

  #talk(device: ScriptedDevice): void {
    const { chance } = this.#parts;
    const to = this.#address(device);
    for (let left = chance.is(0.3) ? chance.between(2, 12) : 1; left > 0; left--)
      device.send(to, this.#message());
  }

  #message(): Json {
    const { chance, accounts } = this.#parts;
    const body = `${++this.#said} ${'x'.repeat(chance.is(0.1) ? chance.between(500, 3000) : 8)}`;
    const mention = {
      type: 'mention',
      offset: 0,
      length: 1,
      userId: chance.pick(accounts).userId,
    };
    const entities = chance.is(0.1) ? { entities: [mention] } : {};
    const silent = chance.is(0.05) ? { silent: true } : {};
    return { message: { text: { body, ...entities }, ...silent } };
  }

  /** Somewhere to write to: a known group, or anybody (oneself too). */
  #address(device: ScriptedDevice): string {
    const { chance, accounts } = this.#parts;
    const groups = this.#groupsOf(device);
    if (groups.length > 0 && chance.is(0.6)) return chance.pick(groups).id;
    return `direct:${chance.pick(accounts).userId}`;
  }

  #groupsOf(device: ScriptedDevice): readonly KnownConversation[] {
    return [...device.conversations.values()].filter((c) => c.isMember && this.groups.has(c.id));
  }

  #createGroup(device: ScriptedDevice): void {
    const { chance, accounts, broken } = this.#parts;
    const requestId = chance.uuid();
    const creator = decodeId('usr', device.userId) ?? new Uint8Array(16);
    const id = encodeId('cnv', groupConversationRaw(creator, requestId));
    const members = accounts.filter(() => chance.is(0.6)).map(({ userId }) => userId);
    this.groups.add(id);
    const settings = chance.is(0.3) ? { settings: { history: 'all' } } : {};
    const request = { requestId: encodeUuid(requestId), name: `g${this.groups.size}`, members };
    device.call('Conversations.Create', { ...request, ...settings }, (answer, reason) => {
      // Made, but the answer was lost, and its maker is out of it when he asks again.
      if (reason === 'NOT_A_MEMBER') return;
      if (answer === undefined) broken(`a group was not created: ${reason}`);
      else if (text(answer['conversationId']) !== id) broken('a group got another id');
      // Members write at once, some before they hear of it from the server.
      else if (chance.is(0.5)) device.send(id, this.#message());
    });
  }

  #changeMembers(device: ScriptedDevice): void {
    const { chance, accounts, broken } = this.#parts;
    const groups = this.#groupsOf(device);
    if (groups.length === 0) return this.#createGroup(device);
    const conversationId = chance.pick(groups).id;
    const { userId } = chance.is(0.2) ? { userId: device.userId } : chance.pick(accounts);
    const done = (answer: Json | undefined, reason: string): void => {
      if (answer === undefined && !GROUP_REFUSALS.has(reason))
        broken(`a change of members was refused: ${reason}`);
    };
    const u = chance.unit();
    if (u < 0.45)
      device.call('Conversations.AddMembers', { conversationId, userIds: [userId] }, done);
    else if (u < 0.85) device.call('Conversations.RemoveMember', { conversationId, userId }, done);
    else {
      const role = chance.pick(['member', 'admin', 'owner']);
      device.call('Conversations.UpdateMember', { conversationId, userId, role }, done);
    }
  }

  #changeMessage(device: ScriptedDevice): void {
    const { chance } = this.#parts;
    const known = [...device.conversations.values()].filter((c) => c.isMember && c.rows.size > 0);
    if (known.length === 0) return this.#talk(device);
    const c = chance.pick(known);
    const rows = [...c.rows].filter(([, row]) => row.isMessage);
    const own = rows.filter(([, row]) => row.sender === device.userId);
    const to = this.#addressOf(device, c);
    if (to === undefined) return;
    if (own.length > 0) {
      const [sequence] = chance.pick(own);
      const target = { sequence };
      if (chance.is(0.6)) {
        const said = { text: { body: `edited ${++this.#said}` } };
        device.send(to, { edit: { target, message: said } });
      } else
        device.send(to, { delete: { target } }, (commit) => {
          if (commit !== undefined)
            this.deleted.push({ conversation: c.id, sequence, atMs: this.#parts.nowMs() });
        });
    }
  }

  /** Numbers of an outbox run per address: each conversation has one. */
  #addressOf(device: ScriptedDevice, c: KnownConversation): string | undefined {
    if (this.groups.has(c.id)) return c.id;
    for (const { userId } of this.#parts.accounts) {
      const to = `direct:${userId}`;
      if (device.idOf(to) === c.id) return to;
    }
    return undefined;
  }

  #read(device: ScriptedDevice): void {
    for (const c of device.conversations.values())
      if (this.#parts.chance.is(0.6)) device.markRead(c.id);
  }

  #settings(device: ScriptedDevice): void {
    const { chance, broken } = this.#parts;
    const groups = this.#groupsOf(device);
    if (groups.length === 0) return;
    const conversationId = chance.pick(groups).id;
    if (chance.is(0.5)) {
      const conversation = { name: `renamed ${++this.#said}` };
      device.call('Conversations.Update', { conversationId, conversation }, (answer, reason) => {
        if (answer === undefined && !GROUP_REFUSALS.has(reason))
          broken(`a renaming was refused: ${reason}`);
      });
      return;
    }
    const me = { archived: true };
    device.call('Conversations.SetMyState', { conversationId, me }, (answer, reason) => {
      if (answer === undefined) {
        if (!GROUP_REFUSALS.has(reason)) broken(`a setting was refused: ${reason}`);
      } else if (count(object(answer)['head']) < 1) broken('a setting answered with nothing');
    });
  }
}
