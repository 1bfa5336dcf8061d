/** What people do who hold a device with the SDK. */
import type { Conversation, MessageRow } from '@parley/sdk';
import type { Chance } from './chance.ts';
import type { Deleted } from './people.ts';
import type { SdkDevice } from './sdk-device.ts';
import type { Account } from './virtual-accounts.ts';

export interface SdkPeopleParts {
  readonly chance: Chance;
  readonly accounts: readonly Account[];
  /** Groups of this world, to which those made here are added. */
  readonly groups: Set<string>;
  readonly deleted: Deleted[];
  readonly nowMs: () => number;
}

export class SdkPeople {
  readonly #parts: SdkPeopleParts;
  #said = 0;

  constructor(parts: SdkPeopleParts) {
    this.#parts = parts;
  }

  act(device: SdkDevice): void {
    const { chance } = this.#parts;
    if (device.client === undefined) {
      if (!device.isAlive) device.start();
      return;
    }
    const { unplugs, kills } = device.habits;
    if (chance.is(kills)) return device.kill();
    if (chance.is(unplugs)) return device.unplug(chance.between(50, 2000));
    const u = chance.unit();
    if (u < 0.5) this.#talk(device);
    else if (u < 0.56) this.#createGroup(device);
    else if (u < 0.64) this.#changeMembers(device);
    else if (u < 0.74) this.#changeMessage(device);
    else if (u < 0.86) this.#thinkAgain(device);
    else if (u < 0.94) this.#read(device);
    else device.hear(chance.pick(['online', 'offline', 'wake']));
  }

  #talk(device: SdkDevice): void {
    const { chance } = this.#parts;
    const conversation = this.#somewhere(device);
    if (conversation === undefined || !conversation.info.get().canSend) return;
    for (let left = chance.is(0.3) ? chance.between(2, 20) : 1; left > 0; left--) {
      const more = chance.is(0.1) ? 'y'.repeat(chance.between(100, 2000)) : '';
      device.say(conversation, `${device.name} ${++this.#said} ${more}`);
    }
  }

  #somewhere(device: SdkDevice): Conversation | undefined {
    const { chance, accounts } = this.#parts;
    const { client } = device;
    if (client === undefined) return undefined;
    const groups = this.#groupsOf(device);
    if (groups.length > 0 && chance.is(0.6)) return client.conversation(chance.pick(groups));
    return client.direct(chance.pick(accounts).userId);
  }

  #groupsOf(device: SdkDevice): readonly string[] {
    const { client } = device;
    if (client === undefined) return [];
    const all = client.conversations({ filter: 'groups' });
    all.show(0, 200);
    const { rows } = all.get();
    all.close();
    return rows.map(({ id }) => id);
  }

  #createGroup(device: SdkDevice): void {
    const { chance, accounts, groups } = this.#parts;
    const { client } = device;
    if (client === undefined) return;
    const members = accounts.filter(() => chance.is(0.6)).map(({ userId }) => userId);
    const made = client.createGroup({ name: `s${++this.#said}`, members });
    groups.add(made.id);
    if (chance.is(0.5)) device.say(made, `${device.name} ${++this.#said} first`);
  }

  #changeMembers(device: SdkDevice): void {
    const { chance, accounts } = this.#parts;
    const { client } = device;
    const groups = this.#groupsOf(device);
    if (client === undefined || groups.length === 0) return;
    const { members } = client.conversation(chance.pick(groups));
    const { userId } = chance.pick(accounts);
    const u = chance.unit();
    const change =
      u < 0.5 ? members.add([userId]) : u < 0.85 ? members.remove(userId) : members.leave();
    // Refused, or nobody knows: the log says what became of it.
    change.catch(() => undefined);
  }

  #changeMessage(device: SdkDevice): void {
    const { chance, deleted, nowMs } = this.#parts;
    const { client } = device;
    const said = device.said.filter(({ is, outcome }) => is === 'message' && outcome !== 'failed');
    if (client === undefined || said.length === 0) return;
    const { key, conversation: id } = chance.pick(said);
    const conversation = client.conversation(id);
    const timeline = conversation.timeline('latest');
    const row = timeline
      .get()
      .rows.find((one): one is MessageRow => one.is === 'message' && one.key === key);
    timeline.close();
    if (row === undefined || row.deleted || !row.mine) return;
    if (chance.is(0.6)) device.edit(conversation, key, `edited ${++this.#said}`);
    else
      device.remove(conversation, key, () => {
        if (row.sequence !== undefined)
          deleted.push({ conversation: id, sequence: row.sequence, atMs: nowMs() });
      });
  }

  /** Of what failed or still waits. */
  #thinkAgain(device: SdkDevice): void {
    const { chance } = this.#parts;
    const failed = device.said.filter(({ outcome }) => outcome === 'failed');
    const open = device.said.filter(({ outcome }) => outcome === 'open').slice(-10);
    if (failed.length > 0 && chance.is(0.7)) device.retry(chance.pick(failed));
    else if (failed.length > 0) device.cancel(chance.pick(failed));
    if (open.length > 0) device.cancel(chance.pick(open));
  }

  #read(device: SdkDevice): void {
    const { client } = device;
    const all = client?.conversations({ filter: 'unread' });
    all?.show(0, 200);
    for (const { id } of all?.get().rows ?? []) {
      const conversation = client?.conversation(id);
      conversation?.markRead(conversation.info.get().head);
    }
    all?.close();
  }
}
