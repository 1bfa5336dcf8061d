/** What somebody looks at, told to the server; and typing, which is never queued or stored (S10). */
import type { ClientFrame, ConversationId } from './contract.ts';
import type { HostPort } from './host.ts';

const FOCUS_MS = 50;
const TYPING_EVERY_MS = 3_000;
const CONVERSATIONS_MAX = 20;

export class Focus {
  readonly #host: HostPort;
  readonly #tell: (frame: ClientFrame) => boolean;
  #conversations: readonly ConversationId[] = [];
  #told = '';
  #typedAtMs = Number.NEGATIVE_INFINITY;
  #typedIn: ConversationId = '';
  #cancel: (() => void) | undefined;

  constructor(host: HostPort, tell: (frame: ClientFrame) => boolean) {
    this.#host = host;
    this.#tell = tell;
  }

  set(conversations: readonly ConversationId[]): void {
    this.#conversations = [...new Set(conversations)].slice(0, CONVERSATIONS_MAX);
    this.#cancel ??= this.#host.after(FOCUS_MS, () => this.#say());
  }

  ready(): void {
    this.#told = '';
    if (this.#conversations.length > 0) this.#say();
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#told = '';
  }

  typing(conversationId: ConversationId): void {
    const nowMs = this.#host.monotonicMs();
    if (this.#typedIn === conversationId && nowMs - this.#typedAtMs < TYPING_EVERY_MS) return;
    this.#typedIn = conversationId;
    this.#typedAtMs = nowMs;
    this.#tell({ typing: { conversationId, state: 'typing' } });
  }

  #say(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    const text = this.#conversations.join();
    if (text === this.#told) return;
    if (this.#tell({ focus: { conversations: this.#conversations, users: [] } })) this.#told = text;
  }
}
