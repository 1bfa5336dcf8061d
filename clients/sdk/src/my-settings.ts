/**
 * Own settings of conversations: shown at once, kept until the server has them, and told it as soon
 * as there is a connection. Registers, so the last value wins and nothing queues up.
 */
import type { ConversationId, ConversationResource } from './contract.ts';
import type { ConversationLog } from './conversation-log.ts';
import type { MyPatch } from './core.ts';
import { reasonOf } from './errors.ts';
import type { HostPort } from './host.ts';
import type { OwnState } from './own-state.ts';
import { REASONS } from './reasons.ts';

const RETRY_MS = 5_000;

export interface MySettingsHooks {
  log(id: ConversationId): ConversationLog | undefined;
  call<T>(method: string, request: unknown): Promise<T>;
  isReady(): boolean;
  answered(resource: ConversationResource): void;
}

export class MySettings {
  readonly #host: HostPort;
  readonly #own: OwnState;
  readonly #hooks: MySettingsHooks;
  readonly #sending = new Set<ConversationId>();
  #cancel: (() => void) | undefined;

  constructor(host: HostPort, own: OwnState, hooks: MySettingsHooks) {
    this.#host = host;
    this.#own = own;
    this.#hooks = hooks;
  }

  set(id: ConversationId, patch: MyPatch): void {
    this.#own.addPatch(id, patch);
    this.apply(id);
    this.#send(id);
  }

  /** Puts what the server does not have yet over what it says. */
  apply(id: ConversationId): void {
    const log = this.#hooks.log(id);
    const patch = this.#own.patches.get(id);
    if (log === undefined || patch === undefined) return;
    log.resource = { ...log.resource, me: { ...log.resource.me, ...patch } };
  }

  online(): void {
    for (const id of this.#own.patches.keys()) this.#send(id);
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#sending.clear();
  }

  #send(id: ConversationId): void {
    const patch = this.#own.patches.get(id);
    if (patch === undefined || !this.#hooks.isReady() || this.#sending.has(id)) return;
    if (this.#hooks.log(id)?.isOnServer !== true) return;
    this.#sending.add(id);
    const request = { conversationId: id, me: patch, updateMask: Object.keys(patch) };
    this.#hooks
      .call<ConversationResource>('Conversations.SetMyState', request)
      .then((resource) => {
        this.#own.confirmPatch(id, patch);
        this.#hooks.answered(resource);
        this.#sending.delete(id);
        // Changed again meanwhile.
        this.#send(id);
      })
      .catch((error: unknown) => {
        this.#sending.delete(id);
        const retry = REASONS[reasonOf(error)].retry;
        // Refused for good: the server's settings stand.
        if (retry === 'never' || retry === 'fix') this.#own.confirmPatch(id, patch);
        else if (this.#hooks.isReady())
          this.#cancel ??= this.#host.after(RETRY_MS, () => {
            this.#cancel = undefined;
            this.online();
          });
      });
  }
}
