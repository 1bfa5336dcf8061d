/**
 * What one applied entry does beside the machines' own state, in this order: rows into the tail,
 * heads, journal, overlays, what is to be erased, courier; then, where the shard leads, the answer
 * and the frames. A commit is answered here and nowhere else: its entry is durable and applied.
 */
import { encodeAccountEvent } from '../../core/link-payload.ts';
import { RowView } from '../../core/row.ts';
import type { AccountApplied } from '../account/contract.ts';
import type {
  Applied,
  ConversationMachine,
  ConversationView,
  RegisterChange,
} from '../conversation/contract.ts';
import type { Place, Planner } from '../fanout/planner.ts';
import type { Answerer, CommitAnswer, DueAnswers } from './answers.ts';
import type { BlockCache } from './block-cache.ts';
import { bucketAt } from './block-reads.ts';
import type { Courier } from './courier.ts';
import { redactedRow, type Erasures } from './erasures.ts';
import type { GroupCounts } from './group-counts.ts';
import type { Heads } from './heads.ts';
import type { HotTail } from './hot-tail.ts';
import type { JournalBuilder } from './journal-builder.ts';
import type { Overlays } from './overlays.ts';

export interface ShardEffectsParts {
  readonly shard: number;
  readonly machine: ConversationMachine;
  readonly heads: Heads;
  readonly journal: JournalBuilder;
  readonly overlays: Overlays;
  readonly erasures: Erasures;
  readonly courier: Courier;
  readonly hotTail: HotTail;
  readonly cache: BlockCache;
  readonly planner: Planner;
  readonly counts: GroupCounts;
}

export class ShardEffects {
  readonly #parts: ShardEffectsParts;
  /** Reused for every commit: answerers read it before they return. */
  readonly #answer: CommitAnswer;
  #place: Place;
  /** Of the entry whose effects are being done. */
  #index = 0;
  rows = 0;

  constructor(parts: ShardEffectsParts) {
    this.#parts = parts;
    this.#place = { shard: parts.shard, epoch: parts.machine.settings.epoch };
    this.#answer = {
      shard: parts.shard,
      key: new Uint8Array(0),
      sequence: 0,
      timeMs: 0,
      replayed: false,
      queued: 0,
      index: 0,
      head: 0,
    };
  }

  /**
   * Whether gateways hear of what is applied. Only while its shard leads: what a start applies again
   * out of its log was told before, and who missed it resumes; told again it would go backwards.
   */
  isPlanning = false;

  get place(): Place {
    return this.#place;
  }

  /** The settings entry was applied: frames carry the epoch from now on. */
  settled(): void {
    this.#place = { shard: this.#parts.shard, epoch: this.#parts.machine.settings.epoch };
  }

  /** `due` = the answer that waits for this entry; undefined = nobody's, or not led here. */
  conversation(index: number, applied: Applied, due: DueAnswers | undefined): void {
    const { machine, journal, planner } = this.#parts;
    this.#index = index;
    journal.entry(index);
    const { row, registers } = applied;
    const changesMore = registers !== undefined || applied.resourceChanged === true;
    const needsView = due !== undefined || changesMore || applied.overlay !== undefined;
    const read = row === undefined ? undefined : this.#row(index, applied, row);
    const view = needsView || row !== undefined ? machine.view(applied.conversation) : undefined;
    if (applied.overlay !== undefined && view !== undefined) this.#overlay(applied, view);
    if (view !== undefined && changesMore) this.#registers(index, applied, view);
    if (view === undefined || read === undefined) {
      this.#settle(applied, view, due, 0);
    } else {
      this.#deliver(applied, view, read, due);
    }
    if (view === undefined || !this.isPlanning) return;
    if (applied.resourceChanged === true) planner.resource(this.#place, view);
    if (registers !== undefined)
      for (const change of registers) planner.register(this.#place, view, change);
  }

  /** Whom a row opens a membership gets it behind the whole conversation; the sender its commit first. */
  #deliver(
    applied: Applied,
    view: ConversationView,
    row: RowView,
    due: DueAnswers | undefined,
  ): void {
    const { planner } = this.#parts;
    if (!this.isPlanning) {
      this.#settle(applied, view, due, 0);
      return;
    }
    if (applied.members !== undefined) planner.memberships(this.#place, view, applied.members);
    planner.mentioned(this.#place, view, row.bytes);
    const queued = planner.gather(view, row.sender);
    this.#settle(applied, view, due, queued);
    planner.deliver(this.#place, view, row.bytes);
  }

  account(index: number, user: Uint8Array, applied: AccountApplied): void {
    const { journal, planner } = this.#parts;
    journal.entry(index);
    if (applied.is !== 'session-revoked' || !this.isPlanning) return;
    const { session } = applied;
    planner.account(this.#place, user, encodeAccountEvent({ is: 'session-revoked', session }));
  }

  /** An account command has no row: its answer names the place in the account log. */
  answerAccount(index: number, user: Uint8Array, applied: AccountApplied, due: DueAnswers): void {
    const answer = this.#answer;
    answer.key = user;
    answer.index = index;
    answer.sequence = applied.is === 'none' ? 0 : applied.accountSequence;
    answer.timeMs = 0;
    answer.replayed = applied.is === 'none';
    answer.queued = 0;
    answer.head = 0;
    const { answerer } = due;
    due.answerer = undefined;
    answerer?.committed(due.request, answer);
  }

  #row(index: number, applied: Applied, row: Uint8Array): RowView {
    const { shard, hotTail, heads, journal, courier } = this.#parts;
    const { conversation } = applied;
    const read = new RowView(row);
    const { sequence, ordinal, timeMs } = read;
    this.rows++;
    hotTail.append(shard, conversation, sequence, row);
    heads.changed(conversation, { index, head: sequence, ordinal, timeMs });
    journal.row(index, conversation, read);
    if (applied.members === undefined) return read;
    for (const change of applied.members) {
      journal.membership(index, conversation, change);
      courier.changed({ ...change, conversation, index });
    }
    return read;
  }

  #settle(
    applied: Applied,
    view: ConversationView | undefined,
    due: DueAnswers | undefined,
    queued: number,
  ): void {
    const answerer: Answerer | undefined = due?.answerer;
    if (due === undefined || answerer === undefined) return;
    due.answerer = undefined;
    const { answer } = applied;
    if (answer.is === 'refused') {
      const { reason, message, details } = answer;
      const retryAfterMs = Number(details['retryAfterMs'] ?? 0) || undefined;
      answerer.refused(due.request, { reason, message, details, retryAfterMs });
      return;
    }
    const commit = this.#answer;
    commit.key = applied.conversation;
    commit.index = this.#index;
    commit.sequence = answer.sequence;
    commit.timeMs = answer.timeMs;
    commit.replayed = answer.replayed;
    commit.queued = queued;
    commit.head = view?.head ?? 0;
    answerer.committed(due.request, commit);
  }

  #overlay(applied: Applied, view: ConversationView): void {
    const { overlays } = this.#parts;
    const { conversation, overlay } = applied;
    if (overlay === undefined) return;
    const { sequence: target, value, erased } = overlay;
    const changeSequence = view.head;
    overlays.set({ conversation, target, value, erased, changeSequence });
    if (!erased) return;
    for (const sequence of [target, ...(overlay.editSequences ?? [])])
      this.#erase(conversation, sequence, view);
  }

  /** The body goes from memory now; from the stored block with the next flush. */
  #erase(conversation: Uint8Array, sequence: number, view: ConversationView): void {
    const { hotTail, cache, erasures } = this.#parts;
    cache.forget(conversation);
    const tail = hotTail.tail(conversation);
    const row = hotTail.row(conversation, sequence);
    if (row !== undefined) hotTail.replace(conversation, sequence, redactedRow(row));
    const isWritten = tail === undefined || sequence <= tail.cut;
    if (!isWritten) return;
    erasures.add({ conversation, sequence, bucket: bucketAt(view.buckets, sequence) });
  }

  #registers(index: number, applied: Applied, view: ConversationView): void {
    const { heads, journal, counts, shard } = this.#parts;
    const { conversation } = applied;
    let isShared = applied.resourceChanged === true && applied.row === undefined;
    for (const change of applied.registers ?? NO_CHANGES) {
      journal.register(index, conversation, change.user);
      heads.ownChanged(conversation, change.user, index);
      if (change.what !== 'marks') continue;
      if (view.kind === 'direct') isShared = true;
      else counts.marked(shard, conversation);
    }
    if (!isShared) return;
    const { head, messageCount: ordinal, lastTimeMs: timeMs } = view;
    heads.changed(conversation, { index, head, ordinal, timeMs });
    journal.changed(index, conversation, { head, ordinal, timeMs });
  }
}

const NO_CHANGES: readonly RegisterChange[] = [];
