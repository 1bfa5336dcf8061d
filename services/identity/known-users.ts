/**
 * Tells which user ids have no account. Asked for every first message of a conversation, so ids once
 * found are remembered (accounts do not vanish: an erased one keeps its row) and what is asked in
 * one turn of the loop shares one query.
 */
import { invariant } from '../../core/invariant.ts';
import type { UserId } from '../../core/ids.ts';
import type { AccountStore } from './ports.ts';

const REMEMBERED_MAX = 100_000;
const BATCH_MAX = 1_000;

interface Batch {
  readonly ids: Set<UserId>;
  readonly found: Promise<ReadonlySet<UserId>>;
}

export class KnownUsers {
  readonly #store: Pick<AccountStore, 'existing'>;
  readonly #remembered = new Set<UserId>();
  #batch: Batch | undefined;

  constructor(store: Pick<AccountStore, 'existing'>) {
    this.#store = store;
  }

  async unknown(userIds: readonly UserId[]): Promise<readonly UserId[]> {
    const asked = [...new Set(userIds)].filter((id) => !this.#remembered.has(id));
    const answers: Promise<UserId[]>[] = [];
    for (let from = 0; from < asked.length; from += BATCH_MAX)
      answers.push(this.#ask(asked.slice(from, from + BATCH_MAX)));
    return (await Promise.all(answers)).flat();
  }

  async #ask(ids: readonly UserId[]): Promise<UserId[]> {
    const batch = this.#openBatch(ids.length);
    for (const id of ids) batch.ids.add(id);
    const found = await batch.found;
    return ids.filter((id) => !found.has(id));
  }

  #openBatch(count: number): Batch {
    const open = this.#batch;
    if (open !== undefined && open.ids.size + count <= BATCH_MAX) return open;
    const ids = new Set<UserId>();
    const batch: Batch = { ids, found: nextTurn().then(() => this.#query(batch)) };
    this.#batch = batch;
    return batch;
  }

  async #query(batch: Batch): Promise<ReadonlySet<UserId>> {
    if (this.#batch === batch) this.#batch = undefined;
    invariant(batch.ids.size > 0 && batch.ids.size <= BATCH_MAX, 'known-users.batch-size');
    const found = await this.#store.existing([...batch.ids]);
    for (const id of found) this.#remember(id);
    return new Set(found);
  }

  #remember(id: UserId): void {
    const [oldest] = this.#remembered;
    if (this.#remembered.size >= REMEMBERED_MAX && oldest !== undefined)
      this.#remembered.delete(oldest);
    this.#remembered.add(id);
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
