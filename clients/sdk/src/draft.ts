/** Text in the making: saved 300 ms after the last change (S19), cleared by the send it became. */
import type { Draft, DraftStore } from './client-interface.ts';
import type { ConversationId } from './contract.ts';
import type { HostPort } from './host.ts';
import type { OwnState } from './own-state.ts';
import { Cell, isShallowEqual, type Watch } from './store.ts';
import type { OwnTable, StorePut } from './stores/store-port.ts';

export const SAVE_AFTER_MS = 300;
const EMPTY: Draft = { text: '' };

export class SavedDraft implements DraftStore {
  readonly #id: ConversationId;
  readonly #cell: Cell<Draft>;
  readonly #host: HostPort;
  readonly #own: OwnState;
  readonly #tell: () => void;
  #cancel: (() => void) | undefined;

  constructor(
    id: ConversationId,
    o: { readonly host: HostPort; readonly own: OwnState; changed(): void },
  ) {
    this.#id = id;
    this.#cell = new Cell<Draft>(o.own.drafts.get(id) ?? EMPTY, isShallowEqual);
    this.#host = o.host;
    this.#own = o.own;
    this.#tell = () => o.changed();
  }

  watchedBy(watch: Watch): void {
    this.#cell.watchedBy(watch);
  }

  get(): Draft {
    return this.#cell.get();
  }

  subscribe(fn: () => void): () => void {
    return this.#cell.subscribe(fn);
  }

  set(draft: Draft): void {
    this.#cell.set(draft);
    this.#changed(draft);
    this.#cancel?.();
    this.#cancel = this.#host.after(SAVE_AFTER_MS, () => this.flush());
  }

  /** Saves now what waits to be saved. */
  flush(): void {
    if (this.#cancel === undefined) return;
    this.#cancel();
    this.#cancel = undefined;
    this.#own.write([this.#put(this.#cell.get())]);
  }

  /**
   * Leaves only what an edit had set aside; what is to be written goes into the caller's
   * transaction (S4).
   */
  take(): readonly StorePut<OwnTable>[] {
    this.#cancel?.();
    this.#cancel = undefined;
    const { aside } = this.#cell.get();
    if (this.#cell.get() === EMPTY) return [];
    const rest = aside === undefined ? EMPTY : { text: aside };
    this.#cell.set(rest);
    this.#changed(rest);
    return [this.#put(rest)];
  }

  #changed(draft: Draft): void {
    this.#own.noteDraft(this.#id, draft);
    this.#tell();
  }

  #put(draft: Draft): StorePut<OwnTable> {
    const key = [this.#id];
    const isEmpty = draft.text === '' && draft.replyTo === undefined && draft.editOf === undefined;
    return isEmpty ? { table: 'drafts', key } : { table: 'drafts', key, value: draft };
  }
}
