/** Groups made offline (CONTRACT §1): Create is repeated with the same requestId until it answers. */
import type { ConversationId, ConversationResource } from './contract.ts';
import { reasonOf } from './errors.ts';
import type { HostPort } from './host.ts';
import type { LocalGroup } from './info.ts';
import type { OwnState } from './own-state.ts';
import { REASONS } from './reasons.ts';

const RETRY_MS = 3_000;

export interface GroupMakerHooks {
  call<T>(method: string, request: unknown): Promise<T>;
  isReady(): boolean;
  made(group: LocalGroup, resource: ConversationResource): void;
  /** It was made before, and this user is no member of it any more. */
  left(group: LocalGroup): void;
  failed(group: LocalGroup): void;
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

  online(): void {
    this.#making.clear();
    for (const id of this.#own.groups.keys()) this.make(id);
  }

  make(id: ConversationId): void {
    const group = this.#own.groups.get(id);
    if (group === undefined || group.failed !== undefined) return;
    if (!this.#hooks.isReady() || this.#making.has(id)) return;
    this.#making.add(id);
    const { requestId, name, members } = group;
    this.#hooks
      .call<ConversationResource>('Conversations.Create', { requestId, name, members })
      .then((resource) => {
        this.#making.delete(id);
        this.#hooks.made(group, resource);
      })
      .catch((error: unknown) => {
        this.#making.delete(id);
        this.#refused(group, error);
      });
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #refused(group: LocalGroup, error: unknown): void {
    const reason = reasonOf(error);
    const retry = REASONS[reason].retry;
    // Its answer was lost, and somebody removed the maker since: what waits is refused one by one.
    if (reason === 'NOT_A_MEMBER') return this.#hooks.left(group);
    if (retry === 'never' || retry === 'fix' || retry === 'reread') {
      // Its messages stay, unsent, and say so: nothing written here is dropped silently.
      this.#own.setGroup({ ...group, failed: reason });
      this.#hooks.failed(group);
      return;
    }
    if (!this.#hooks.isReady()) return;
    this.#cancel ??= this.#host.after(RETRY_MS, () => {
      this.#cancel = undefined;
      for (const id of this.#own.groups.keys()) this.make(id);
    });
  }
}
