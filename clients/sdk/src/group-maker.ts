/**
 * Groups made offline (CONTRACT §1): there at once under the id that they will have, their sends held;
 * Create is repeated with the same requestId until it answers.
 */
import type { ConversationId, ConversationResource, UserId } from './contract.ts';
import type { ConversationLog } from './conversation-log.ts';
import { reasonOf } from './errors.ts';
import type { HostPort } from './host.ts';
import type { LocalGroup } from './info.ts';
import { logOfLocalGroup, newLocalGroup } from './local-conversations.ts';
import type { OwnState } from './own-state.ts';
import { REASONS } from './reasons.ts';

const RETRY_MS = 3_000;

export interface GroupMakerHooks {
  me(): UserId;
  call<T>(method: string, request: unknown): Promise<T>;
  isReady(): boolean;
  /** Its sends wait, or wait no more. */
  hold(id: ConversationId, isHeld: boolean): void;
  /** A conversation that only this device knows. */
  adopt(log: ConversationLog): void;
  made(resource: ConversationResource): void;
  /** It was made before, and this user is no member of it any more. */
  left(id: ConversationId): void;
  changed(id: ConversationId): void;
}

export class GroupMaker {
  readonly #host: HostPort;
  readonly #own: OwnState;
  readonly #hooks: GroupMakerHooks;
  readonly #making = new Set<ConversationId>();
  #cancel: (() => void) | undefined;

  constructor(host: HostPort, own: OwnState, hooks: GroupMakerHooks) {
    this.#host = host;
    this.#own = own;
    this.#hooks = hooks;
  }

  /** A new group, which is the server's as soon as there is a connection. */
  create(group: { readonly name: string; readonly members: readonly UserId[] }): ConversationId {
    const made = newLocalGroup(this.#host, this.#hooks.me(), group);
    const { conversationId } = made;
    this.#own.setGroup(made);
    this.#adopt(made);
    this.#hooks.changed(conversationId);
    this.#make(conversationId);
    return conversationId;
  }

  /** The groups of an earlier life that the server does not know yet. */
  adoptAll(): void {
    for (const group of this.#own.groups.values()) this.#adopt(group);
  }

  online(): void {
    this.#making.clear();
    for (const id of this.#own.groups.keys()) this.#make(id);
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #adopt(group: LocalGroup): void {
    this.#hooks.hold(group.conversationId, true);
    this.#hooks.adopt(logOfLocalGroup(group, this.#hooks.me()));
  }

  #make(id: ConversationId): void {
    const group = this.#own.groups.get(id);
    if (group === undefined || group.failed !== undefined) return;
    if (!this.#hooks.isReady() || this.#making.has(id)) return;
    this.#making.add(id);
    const { requestId, name, members } = group;
    this.#hooks
      .call<ConversationResource>('Conversations.Create', { requestId, name, members })
      .then((resource) => {
        this.#making.delete(id);
        this.#hooks.made(resource);
        this.#release(id);
      })
      .catch((error: unknown) => {
        this.#making.delete(id);
        this.#refused(group, error);
      });
  }

  #refused(group: LocalGroup, error: unknown): void {
    const id = group.conversationId;
    const reason = reasonOf(error);
    const retry = REASONS[reason].retry;
    // Its answer was lost, and somebody removed the maker since: what waits is refused one by one.
    if (reason === 'NOT_A_MEMBER') {
      this.#hooks.left(id);
      return this.#release(id);
    }
    if (retry === 'never' || retry === 'fix' || retry === 'reread') {
      // Its messages stay, unsent, and say so: nothing written here is dropped silently.
      this.#own.setGroup({ ...group, failed: reason });
      return this.#hooks.changed(id);
    }
    if (!this.#hooks.isReady()) return;
    this.#cancel ??= this.#host.after(RETRY_MS, () => {
      this.#cancel = undefined;
      for (const each of this.#own.groups.keys()) this.#make(each);
    });
  }

  /** It is a conversation like any other from now on. */
  #release(id: ConversationId): void {
    this.#own.dropGroup(id);
    this.#hooks.hold(id, false);
    this.#hooks.changed(id);
  }
}
