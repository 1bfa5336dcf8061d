/** For tests: what a tiny broker keeps: conversations, account logs, how far each shard is. */
import { hex } from '../../core/bytes.ts';
import { ParleyError } from '../../core/errors.ts';
import { encodeId, slotOf } from '../../core/ids.ts';
import { TINY_SHARDS, type TinyConversation } from './tiny-views.ts';

/** An entry of an account log: somebody joined or left. */
export interface TinyMembership {
  readonly conversation: Uint8Array;
  readonly joined: boolean;
}

export class TinyState {
  readonly conversations: Map<string, TinyConversation> = new Map();
  readonly #accounts = new Map<string, TinyMembership[]>();
  readonly #indexes = Array.from({ length: TINY_SHARDS }, () => 0);

  make(raw: Uint8Array, isDirect: boolean, creator: Uint8Array, nowMs: number): TinyConversation {
    const made: TinyConversation = {
      raw: raw.slice(),
      isDirect,
      creator: creator.slice(),
      name: '',
      isClosed: false,
      version: 1,
      members: new Map(),
      left: new Set(),
      rows: [],
      windows: new Map(),
      lastAccepted: new Map(),
      lastIndex: 0,
      lastTimeMs: nowMs,
    };
    this.conversations.set(hex(raw), made);
    return made;
  }

  /** The account log of a user, oldest first. */
  account(key: string): TinyMembership[] {
    let log = this.#accounts.get(key);
    if (log === undefined) this.#accounts.set(key, (log = []));
    return log;
  }

  /** Applied through, as far as a shard goes. */
  indexOf(shard: number): number {
    return this.#indexes[shard] ?? 0;
  }

  /** Another entry in the shard of a conversation; its index. */
  bump(raw: Uint8Array): number {
    const shard = slotOf(raw) % TINY_SHARDS;
    const next = (this.#indexes[shard] ?? 0) + 1;
    this.#indexes[shard] = next;
    return next;
  }

  /** Never-members learn nothing; former ones read nothing. */
  of(raw: Uint8Array, user: Uint8Array): TinyConversation {
    const c = this.conversations.get(hex(raw));
    if (c?.members.has(hex(user)) === true) return c;
    if (c?.left.has(hex(user)) === true) throw new ParleyError('NOT_A_MEMBER', 'no longer');
    throw new ParleyError('CONVERSATION_UNKNOWN', 'there is no such conversation');
  }

  byText(id: string, user: Uint8Array): TinyConversation {
    for (const c of this.conversations.values())
      if (encodeId('cnv', c.raw) === id) return this.of(c.raw, user);
    throw new ParleyError('CONVERSATION_UNKNOWN', 'there is no such conversation');
  }
}
