/**
 * What this device alone knows besides the outbox: who it is, drafts, offline-made groups, read
 * marks and settings the server has not confirmed. All of it in the own database (S12).
 */
import type { Draft } from './client-interface.ts';
import type { ConversationId, DeviceId, Sequence, UserId } from './contract.ts';
import type { MyPatch } from './core.ts';
import type { LocalGroup } from './info.ts';
import type { SavedStore } from './saved-store.ts';
import { type OwnTable, type StorePut, under } from './stores/store-port.ts';

export interface Identity {
  readonly userId: UserId;
  readonly deviceId: DeviceId;
}

export class OwnState {
  identity: Identity | undefined;
  readonly drafts: Map<ConversationId, Draft> = new Map();
  readonly groups: Map<ConversationId, LocalGroup> = new Map();
  readonly reads: Map<ConversationId, Sequence> = new Map();
  readonly patches: Map<ConversationId, MyPatch> = new Map();
  readonly #store: SavedStore;
  readonly #writes = new Set<Promise<void>>();

  constructor(store: SavedStore) {
    this.#store = store;
  }

  async loadIdentity(): Promise<void> {
    const [pair] = await this.#store.readOwn('meta', under('me'));
    this.identity = pair?.value as Identity | undefined;
  }

  async load(): Promise<void> {
    for (const map of [this.drafts, this.groups, this.reads, this.patches]) map.clear();
    const id = (key: readonly (string | number)[]): ConversationId => String(key[0]);
    for (const { key, value } of await this.#store.readOwn('drafts', under()))
      this.drafts.set(id(key), value as Draft);
    for (const { key, value } of await this.#store.readOwn('groups', under()))
      this.groups.set(id(key), value as LocalGroup);
    for (const { key, value } of await this.#store.readOwn('marks', under()))
      this.reads.set(id(key), (value as { read: Sequence }).read);
    for (const { key, value } of await this.#store.readOwn('intents', under()))
      this.patches.set(id(key), value as MyPatch);
  }

  setIdentity(identity: Identity): void {
    this.identity = identity;
    this.write([{ table: 'meta', key: ['me'], value: identity }]);
  }

  setGroup(group: LocalGroup): void {
    this.groups.set(group.conversationId, group);
    this.write([{ table: 'groups', key: [group.conversationId], value: group }]);
  }

  dropGroup(id: ConversationId): void {
    if (this.groups.delete(id)) this.write([{ table: 'groups', key: [id] }]);
  }

  setRead(id: ConversationId, sequence: Sequence): void {
    this.reads.set(id, sequence);
    this.write([{ table: 'marks', key: [id], value: { read: sequence } }]);
  }

  /** The server has it. */
  confirmRead(id: ConversationId, through: Sequence): void {
    const read = this.reads.get(id);
    if (read === undefined || read > through) return;
    this.reads.delete(id);
    this.write([{ table: 'marks', key: [id] }]);
  }

  addPatch(id: ConversationId, patch: MyPatch): void {
    const whole = { ...this.patches.get(id), ...patch };
    this.patches.set(id, whole);
    this.write([{ table: 'intents', key: [id], value: whole }]);
  }

  confirmPatch(id: ConversationId, patch: MyPatch): void {
    // Changed again meanwhile: that goes next.
    if (this.patches.get(id) !== patch) return;
    this.patches.delete(id);
    this.write([{ table: 'intents', key: [id] }]);
  }

  noteDraft(id: ConversationId, draft: Draft): void {
    if (draft.text === '' && draft.replyTo === undefined && draft.editOf === undefined)
      this.drafts.delete(id);
    else this.drafts.set(id, draft);
  }

  write(puts: readonly StorePut<OwnTable>[]): void {
    const write: Promise<void> = this.#store
      .writeOwn(puts)
      // FENCED: the new owner's word counts now.
      .catch(() => undefined)
      .finally(() => this.#writes.delete(write));
    this.#writes.add(write);
  }

  /** Everything written is on the device, or has failed to be. */
  async settled(): Promise<void> {
    await Promise.all(this.#writes);
  }
}
