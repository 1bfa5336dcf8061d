/**
 * Receipt counts for authors in groups: when marks moved, each author of the newest 100 rows who is
 * connected hears how many received and read, at most once a second per conversation. Who exactly is
 * read on demand.
 */
import { IdMap } from '../../core/id-map.ts';
import type { ReceiptCounts } from '../../core/link-payload.ts';
import { ROW_FLAG, RowView } from '../../core/row.ts';
import type { ConversationMachine, ConversationView } from '../conversation/contract.ts';
import type { Planner } from '../fanout/planner.ts';
import type { Routes } from '../fanout/routes.ts';
import { extentOf, type BlockReads } from './block-reads.ts';

const ROWS_COUNTED = 100;
/** Sweeps after which a quiet conversation's last told counts are forgotten. */
const QUIET_SWEEPS_MAX = 60;

interface Watched {
  readonly conversation: Uint8Array;
  readonly shard: number;
  isMarked: boolean;
  quietSweeps: number;
  /** sequence → what was told last. */
  told: Map<number, string>;
}

export interface GroupCountsOptions {
  readonly machines: readonly ConversationMachine[];
  readonly planner: Planner;
  readonly routes: Routes;
  readonly epochOf: (shard: number) => number;
}

export class GroupCounts {
  readonly #options: GroupCountsOptions;
  readonly #watched = new IdMap<Watched>();
  #reads: BlockReads | undefined;

  constructor(options: GroupCountsOptions) {
    this.#options = options;
  }

  /** Where rows come from; set once the store is assembled. */
  use(reads: BlockReads): void {
    this.#reads = reads;
  }

  marked(shard: number, conversation: Uint8Array): void {
    const known = this.#watched.get(conversation);
    if (known !== undefined) {
      known.isMarked = true;
      return;
    }
    const watched = { conversation: conversation.slice(), shard, isMarked: true };
    this.#watched.set(watched.conversation, { ...watched, quietSweeps: 0, told: new Map() });
  }

  /** Once a second, by the store. */
  sweep(): void {
    if (this.#watched.size === 0) return;
    for (const watched of [...this.#watched.values()]) {
      if (watched.isMarked) {
        watched.isMarked = false;
        watched.quietSweeps = 0;
        this.#tell(watched);
      } else if (++watched.quietSweeps > QUIET_SWEEPS_MAX) {
        this.#watched.delete(watched.conversation);
      }
    }
  }

  #tell(watched: Watched): void {
    const { machines, planner, routes, epochOf } = this.#options;
    const view = machines[watched.shard]?.view(watched.conversation);
    if (view === undefined || this.#reads === undefined) return;
    const from = Math.max(1, view.head - ROWS_COUNTED + 1);
    // LIMIT: rows that fell out of memory are not counted live; opening the message reads them.
    const rows = this.#reads.rowsNow(extentOf(view), from, view.head) ?? [];
    const offline = this.#offline(view);
    const authors = new IdMap<{ user: Uint8Array; items: ReceiptCounts[] }>();
    const told = new Map<number, string>();
    for (const bytes of rows) {
      const row = new RowView(bytes);
      if (!row.has(ROW_FLAG.countable) || routes.of(row.sender) === undefined) continue;
      const counts = countsOf(view, row, offline);
      const key = `${counts.of},${counts.queued},${counts.delivered},${counts.read}`;
      told.set(row.sequence, key);
      if (watched.told.get(row.sequence) === key) continue;
      const known = authors.get(row.sender);
      if (known === undefined) authors.set(row.sender, { user: row.sender, items: [counts] });
      else known.items.push(counts);
    }
    watched.told = told;
    const place = { shard: watched.shard, epoch: epochOf(watched.shard) };
    for (const { user, items } of authors.values())
      planner.receipts(place, watched.conversation, {
        users: [user],
        payload: { is: 'counts', items },
      });
  }

  /** Members without a route, with what they hold: who of them lacks a row counts as queued. */
  #offline(view: ConversationView): { delivered: number; joined: number; user: Uint8Array }[] {
    const users: Uint8Array[] = [];
    view.eachMember((user) => {
      if (this.#options.routes.of(user) === undefined) users.push(user.slice());
      return true;
    });
    return users.map((user) => {
      const member = view.member(user);
      return {
        user,
        delivered: member?.deliveredThrough ?? 0,
        joined: member?.joinSequence ?? Infinity,
      };
    });
  }
}

function countsOf(
  view: ConversationView,
  row: RowView,
  offline: readonly { delivered: number; joined: number; user: Uint8Array }[],
): ReceiptCounts {
  const { sequence } = row;
  const { of, delivered, read } = view.counts(sequence, row.sender);
  let queued = 0;
  for (const member of offline)
    if (member.joined < sequence && member.delivered < sequence) queued++;
  return { sequence, of, queued, delivered, read };
}
