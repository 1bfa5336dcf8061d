/**
 * What one shard did since its last flush, packed: an object for each conversation and each register
 * would outlive the young generation, and cost the garbage collector more than a send's own work.
 */
import { ByteWriter } from '../../core/bytes.ts';
import { IdMap } from '../../core/id-map.ts';
import type { RowView } from '../../core/row.ts';
import type { MembershipChange } from '../conversation/contract.ts';
import {
  CHANGE_BYTES,
  MEMBERSHIP_BYTES,
  REGISTER_BYTES,
  encodeMemberships,
  encodeSpan,
  type JournalMembership,
} from './journal.ts';
import { PackedIds } from './packed-ids.ts';

/** One flush's value: to be stored under its first index. */
export interface JournalCut {
  readonly firstIndex: number;
  readonly memberships: readonly JournalMembership[];
  readonly value: Uint8Array;
}

const FIELDS = 7;
const INDEX = 0;
const STAMP = 1;
const HEAD = 2;
const ORDINAL = 3;
const FIRST_SEQUENCE = 4;
const ROWS = 5;
const KINDS = 6;
const ENTRIES_AT_FIRST = 64;
const SPAN_BYTES = 64;
const NONE = -1;

export class JournalBuilder {
  #places = new IdMap<number>();
  readonly #conversations = new PackedIds();
  #fields = new Float64Array(ENTRIES_AT_FIRST * FIELDS);
  /** Per conversation: its first and last register, and how many there are. */
  #chains = new Int32Array(ENTRIES_AT_FIRST * 3);
  readonly #users = new PackedIds();
  #registerIndexes = new Float64Array(ENTRIES_AT_FIRST);
  #nextRegisters = new Int32Array(ENTRIES_AT_FIRST);
  #memberships: JournalMembership[] = [];
  #firstIndex = 0;
  #lastIndex = 0;
  #timeMs = 0;

  /** Membership changes since the last cut. */
  get memberships(): readonly JournalMembership[] {
    return this.#memberships;
  }

  row(index: number, conversation: Uint8Array, row: RowView): void {
    const at = this.#at(index, conversation) * FIELDS;
    const fields = this.#fields;
    const { sequence, timeMs } = row;
    fields[at + INDEX] = index;
    fields[at + STAMP] = timeMs;
    fields[at + HEAD] = sequence;
    fields[at + ORDINAL] = row.ordinal;
    if (fields[at + ROWS] === 0) fields[at + FIRST_SEQUENCE] = sequence;
    fields[at + ROWS] = (fields[at + ROWS] ?? 0) + 1;
    fields[at + KINDS] = (fields[at + KINDS] ?? 0) | (1 << row.bodyKind);
    this.#timeMs = timeMs;
  }

  /** A change that is everybody's without a row: a direct peer's marks, a block. */
  changed(
    index: number,
    conversation: Uint8Array,
    now: { readonly head: number; readonly ordinal: number; readonly timeMs: number },
  ): void {
    const at = this.#at(index, conversation) * FIELDS;
    this.#fields[at + INDEX] = index;
    this.#fields[at + STAMP] = now.timeMs;
    this.#fields[at + HEAD] = now.head;
    this.#fields[at + ORDINAL] = now.ordinal;
  }

  register(index: number, conversation: Uint8Array, user: Uint8Array): void {
    const chain = this.#at(index, conversation) * 3;
    const chains = this.#chains;
    for (let at = chains[chain] ?? NONE; at !== NONE; at = this.#nextRegisters[at] ?? NONE) {
      if (!this.#users.is(at, user)) continue;
      this.#registerIndexes[at] = index;
      return;
    }
    const at = this.#users.add(user);
    if (at >= this.#registerIndexes.length) {
      this.#registerIndexes = twice(this.#registerIndexes, Float64Array);
      this.#nextRegisters = twice(this.#nextRegisters, Int32Array);
    }
    this.#registerIndexes[at] = index;
    this.#nextRegisters[at] = NONE;
    const last = chains[chain + 1] ?? NONE;
    if (last === NONE) chains[chain] = at;
    else this.#nextRegisters[last] = at;
    chains[chain + 1] = at;
    chains[chain + 2] = (chains[chain + 2] ?? 0) + 1;
  }

  membership(index: number, conversation: Uint8Array, change: MembershipChange): void {
    const { user, joined, sequence } = change;
    this.#memberships.push({ conversation: conversation.slice(), user, joined, sequence, index });
  }

  /** An entry was applied, whether or not it did anything. */
  entry(index: number): void {
    if (this.#firstIndex === 0) this.#firstIndex = index;
    this.#lastIndex = index;
  }

  /** What was built; undefined = nothing since the last cut. */
  cut(): JournalCut | undefined {
    if (this.#firstIndex === 0) return undefined;
    const firstIndex = this.#firstIndex;
    const memberships = this.#memberships;
    const value = this.#encode();
    this.#places = new IdMap();
    this.#conversations.clear();
    this.#users.clear();
    this.#memberships = [];
    this.#firstIndex = 0;
    return { firstIndex, memberships, value };
  }

  #encode(): Uint8Array {
    const changes = this.#conversations.size;
    const out = new ByteWriter(
      SPAN_BYTES +
        changes * CHANGE_BYTES +
        this.#users.size * REGISTER_BYTES +
        this.#memberships.length * MEMBERSHIP_BYTES,
    );
    encodeSpan(out, {
      firstIndex: this.#firstIndex,
      lastIndex: this.#lastIndex,
      timeMs: this.#timeMs,
    });
    out.u32(changes);
    for (let change = 0; change < changes; change++) {
      const fields = this.#fields.subarray(change * FIELDS, (change + 1) * FIELDS);
      out.raw(this.#conversations.at(change));
      for (let field = INDEX; field <= FIRST_SEQUENCE; field++) out.u53(fields[field] ?? 0);
      out.u32(fields[ROWS] ?? 0).u32(fields[KINDS] ?? 0);
      out.u16(this.#chains[change * 3 + 2] ?? 0);
      for (
        let at = this.#chains[change * 3] ?? NONE;
        at !== NONE;
        at = this.#nextRegisters[at] ?? NONE
      )
        out.raw(this.#users.at(at)).u53(this.#registerIndexes[at] ?? 0);
    }
    encodeMemberships(out, this.#memberships);
    return out.finish();
  }

  /** Where the conversation's change is. */
  #at(index: number, conversation: Uint8Array): number {
    this.entry(index);
    const known = this.#places.get(conversation);
    if (known !== undefined) return known;
    const place = this.#conversations.add(conversation);
    this.#places.set(conversation, place);
    if ((place + 1) * FIELDS > this.#fields.length) {
      this.#fields = twice(this.#fields, Float64Array);
      this.#chains = twice(this.#chains, Int32Array);
    }
    this.#fields.fill(0, place * FIELDS, (place + 1) * FIELDS);
    this.#chains.fill(NONE, place * 3, place * 3 + 2);
    this.#chains[place * 3 + 2] = 0;
    return place;
  }
}

function twice<T extends Float64Array | Int32Array>(from: T, make: new (length: number) => T): T {
  const into = new make(from.length * 2);
  into.set(from);
  return into;
}
