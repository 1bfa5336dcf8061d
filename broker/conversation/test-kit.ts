/** What the tests of this room share: a machine with people, and commands as gateways encode them. */
import assert from 'node:assert/strict';
import {
  COMMAND_KIND,
  encodeSend,
  NO_ID,
  NO_MENTIONS,
  SEND_FLAG,
  stampCommand,
  type GroupSettings,
  type SendCommand,
  type SetMyStateCommand,
  type UpdateConversationCommand,
} from '../../core/command.ts';
import { encodeCommand } from '../../core/command-codec.ts';
import { directConversationRaw, groupConversationRaw } from '../../core/ids.ts';
import { payloadHash } from '../../core/payload-hash.ts';
import { BODY_KIND, RowView } from '../../core/row.ts';
import { utf8 } from '../../core/bytes.ts';
import type { Reason } from '../../core/errors.ts';
import type { Applied, DirtyUnit, MyView, StateUnit } from './contract.ts';
import { createConversationMachine, type PackedConversationMachine } from './machine.ts';

const ROWS_AT_ONCE = 3;

export const OPEN_GROUP: GroupSettings = {
  historyAll: false,
  sendAdminsOnly: false,
  addMembersToo: false,
  slowModeMs: 0,
};

/** A 16-byte id that is the same in every run. */
export function idOf(number: number, space = 1): Uint8Array {
  const raw = new Uint8Array(16).fill(space);
  new DataView(raw.buffer).setUint32(12, number, false);
  return raw;
}

export interface SendOptions {
  readonly to: Uint8Array;
  readonly from: Uint8Array;
  readonly peer?: Uint8Array;
  readonly text?: string;
  /** In place of `text`, for readers that look into it. */
  readonly body?: Uint8Array;
  readonly outbox?: Uint8Array;
  readonly clientSeq?: number;
  readonly after?: number;
  readonly clientMessageId?: Uint8Array;
  readonly flags?: number;
  readonly bodyKind?: SendCommand['bodyKind'];
  readonly target?: number;
  readonly mentions?: readonly Uint8Array[];
}

const HASH_KEY: Uint8Array = new Uint8Array(32).fill(7);

export function sendCommand(options: SendOptions): Uint8Array {
  const { outbox, peer } = options;
  const clientMessageId = options.clientMessageId ?? idOf(options.clientSeq ?? 0, 9);
  const bodyKind = options.bodyKind ?? BODY_KIND.message;
  const body = options.body ?? utf8(options.text ?? 'hello');
  const mentions = new Uint8Array((options.mentions ?? []).flatMap((user) => [...user]));
  return encodeSend({
    timeMs: 0,
    key: options.to,
    caller: options.from,
    flags:
      (options.flags ?? 0) |
      (bodyKind === BODY_KIND.message ? SEND_FLAG.countable : 0) |
      (outbox === undefined ? 0 : SEND_FLAG.outbox) |
      (peer === undefined ? 0 : SEND_FLAG.direct),
    bodyKind,
    clientSeq: options.clientSeq ?? 0,
    after: options.after ?? 0,
    target: options.target ?? 0,
    device: idOf(1, 8),
    outbox: outbox ?? NO_ID,
    clientMessageId,
    payloadHash: payloadHash(HASH_KEY, clientMessageId, body),
    peer: peer ?? NO_ID,
    mentions: mentions.length === 0 ? NO_MENTIONS : mentions,
    body,
  });
}

/**
 * A shard's machine with its stored units and rows beside it, as the runtime keeps them: loads what
 * commands need, pins, stamps, completes marks, applies.
 */
export class Shard {
  machine: PackedConversationMachine;
  readonly stored: Map<string, Map<string, StateUnit>> = new Map();
  readonly rows: Map<string, Uint8Array[]> = new Map();
  readonly overlays: Map<string, Uint8Array> = new Map();
  index = 0;
  nowMs = 1_700_000_000_000;
  #outboxNumber = 0;

  constructor() {
    this.machine = createConversationMachine();
  }

  apply(command: Uint8Array): Applied {
    return this.commit(this.propose(command));
  }

  /** Everything up to the log: the command as it would be appended. */
  propose(command: Uint8Array): Uint8Array {
    const key = command.subarray(24, 40);
    this.meet(command);
    this.machine.pin(command);
    let entry = command;
    if (command[1] === COMMAND_KIND.mark) {
      const range = this.machine.markNeedsRows(command);
      if (range !== undefined) entry = this.#complete(command, key, range);
    }
    stampCommand(entry, ++this.nowMs);
    return entry;
  }

  /** Rows are handed in a few at a time, as a store does it. */
  #complete(
    command: Uint8Array,
    key: Uint8Array,
    { from, to }: { readonly from: number; readonly to: number },
  ): Uint8Array {
    const tally = this.machine.startTally(command);
    const rows = this.rows.get(key.join()) ?? [];
    for (let at = from; at < to; at += ROWS_AT_ONCE)
      tally?.add(rows.slice(at, Math.min(at + ROWS_AT_ONCE, to)));
    return this.machine.completeMark(command, tally);
  }

  meet(command: Uint8Array): void {
    const key = command.subarray(24, 40);
    for (;;) {
      const needs = this.machine.needs(command);
      if (!needs.conversation && needs.target === 0) return;
      if (needs.conversation) this.load(key);
      else this.loadTarget(key, needs.target);
    }
  }

  commit(entry: Uint8Array): Applied {
    const applied = this.machine.apply(++this.index, entry);
    const key = applied.conversation.join();
    const rows = this.rows.get(key) ?? [];
    this.rows.set(key, rows);
    if (applied.row !== undefined) {
      assert.equal(new RowView(applied.row).sequence, rows.length + 1);
      rows.push(applied.row);
    }
    if (applied.overlay !== undefined)
      this.overlays.set(`${key}/${applied.overlay.sequence}`, applied.overlay.value);
    return applied;
  }

  load(conversation: Uint8Array): void {
    this.machine.load(conversation, [...(this.stored.get(conversation.join())?.values() ?? [])]);
  }

  loadTarget(conversation: Uint8Array, sequence: number): void {
    const key = conversation.join();
    const row = this.rows.get(key)?.[sequence - 1];
    assert.ok(row !== undefined);
    const overlay = this.overlays.get(`${key}/${sequence}`) ?? new Uint8Array(0);
    this.machine.loadTarget(conversation, { sequence, row, overlay });
  }

  flush(): readonly DirtyUnit[] {
    const units = this.machine.takeDirty();
    this.store(units);
    this.machine.flushed();
    return units;
  }

  store(units: readonly DirtyUnit[]): void {
    for (const unit of units) {
      const key = unit.conversation.join();
      const units = this.stored.get(key) ?? new Map<string, StateUnit>();
      this.stored.set(key, units);
      units.set(`${unit.kind}/${unit.page}/${unit.user.join()}`, unit);
    }
  }

  /** Flushes and forgets everything: what a restart does. */
  restart(): void {
    this.flush();
    this.machine = createConversationMachine({ effectsChecksum: this.machine.effectsChecksum });
    for (const units of this.stored.values()) {
      const first = [...units.values()][0];
      if (first?.value[1] === 3) this.machine.load(new Uint8Array(16), [first]);
    }
  }

  outbox(): Uint8Array {
    return idOf(++this.#outboxNumber, 7);
  }

  send(options: SendOptions): Applied {
    return this.apply(sendCommand(options));
  }

  mark(
    conversation: Uint8Array,
    user: Uint8Array,
    marks: { readonly read?: number; readonly delivered?: number },
  ): Applied {
    return this.apply(markCommand(conversation, user, marks));
  }

  createGroup(
    creator: Uint8Array,
    members: readonly Uint8Array[],
    settings: Partial<GroupSettings> = {},
    request = 1,
  ): { readonly id: Uint8Array; readonly applied: Applied } {
    const requestId = idOf(request, 6);
    const id = groupConversationRaw(creator, requestId);
    const applied = this.apply(
      encodeCommand({
        kind: COMMAND_KIND.createGroup,
        timeMs: 0,
        key: id,
        caller: creator,
        requestId,
        name: 'a group',
        members,
        settings: { ...OPEN_GROUP, ...settings },
      }),
    );
    return { id, applied };
  }

  add(id: Uint8Array, caller: Uint8Array, users: readonly Uint8Array[], role = 0): Applied {
    const kind = COMMAND_KIND.addMembers;
    return this.apply(encodeCommand({ kind, timeMs: 0, key: id, caller, users, role }));
  }

  remove(id: Uint8Array, caller: Uint8Array, user: Uint8Array): Applied {
    const kind = COMMAND_KIND.removeMember;
    return this.apply(encodeCommand({ kind, timeMs: 0, key: id, caller, user }));
  }

  setRole(id: Uint8Array, caller: Uint8Array, user: Uint8Array, role: number): Applied {
    const kind = COMMAND_KIND.setRole;
    return this.apply(encodeCommand({ kind, timeMs: 0, key: id, caller, user, role }));
  }

  update(
    id: Uint8Array,
    caller: Uint8Array,
    change: Partial<
      Pick<UpdateConversationCommand, 'name' | 'pictureMediaId' | 'settings' | 'ifVersion'>
    >,
  ): Applied {
    const kind = COMMAND_KIND.updateConversation;
    return this.apply(encodeCommand({ kind, timeMs: 0, key: id, caller, ifVersion: 0, ...change }));
  }

  close(id: Uint8Array, caller: Uint8Array): Applied {
    const kind = COMMAND_KIND.closeConversation;
    return this.apply(encodeCommand({ kind, timeMs: 0, key: id, caller }));
  }

  setMyState(
    id: Uint8Array,
    caller: Uint8Array,
    state: Omit<SetMyStateCommand, 'kind' | 'timeMs' | 'key' | 'caller'>,
  ): Applied {
    const kind = COMMAND_KIND.setMyState;
    return this.apply(encodeCommand({ kind, timeMs: 0, key: id, caller, ...state }));
  }

  block(caller: Uint8Array, peer: Uint8Array, blocked: boolean): Applied {
    const key = directConversationRaw(caller, peer);
    const kind = COMMAND_KIND.setBlock;
    return this.apply(encodeCommand({ kind, timeMs: 0, key, caller, peer, blocked }));
  }

  settings(settings: { membersMax?: number; editWindowMs?: number; editsMax?: number }): Applied {
    return this.apply(
      encodeCommand({
        kind: COMMAND_KIND.shardSettings,
        timeMs: 0,
        key: idOf(0, 5),
        caller: NO_ID,
        clusterId: idOf(1, 4),
        epoch: 1_700_000_000,
        membersMax: settings.membersMax ?? 500,
        editWindowMs: settings.editWindowMs ?? 48 * 3_600_000,
        editsMax: settings.editsMax ?? 100,
        featureLevel: 1,
        hashKey: HASH_KEY,
      }),
    );
  }

  me(conversation: Uint8Array, user: Uint8Array): MyView {
    if (!this.machine.isResident(conversation)) this.load(conversation);
    const me = this.machine.view(conversation)?.me(user);
    assert.ok(me !== undefined);
    return me;
  }
}

export function markCommand(
  conversation: Uint8Array,
  user: Uint8Array,
  marks: { readonly read?: number; readonly delivered?: number },
): Uint8Array {
  return encodeCommand({
    kind: COMMAND_KIND.mark,
    timeMs: 0,
    key: conversation,
    caller: user,
    deliveredThrough: marks.delivered ?? 0,
    readThrough: marks.read ?? 0,
  });
}

/** A direct between two users, with a sender's outbox that numbers by itself. */
export class Direct {
  readonly shard: Shard;
  readonly a: Uint8Array = idOf(1);
  readonly b: Uint8Array = idOf(2);
  readonly id: Uint8Array = directConversationRaw(this.a, this.b);
  readonly #numbers: Map<string, { outbox: Uint8Array; last: number }> = new Map();

  constructor(shard: Shard = new Shard()) {
    this.shard = shard;
  }

  send(from: Uint8Array, options: Partial<SendOptions> = {}): Applied {
    const key = from.join();
    const numbers = this.#numbers.get(key) ?? { outbox: this.shard.outbox(), last: 0 };
    this.#numbers.set(key, numbers);
    const clientSeq = numbers.last + 1;
    const applied = this.shard.send({
      to: this.id,
      from,
      peer: from === this.a ? this.b : this.a,
      outbox: numbers.outbox,
      clientSeq,
      after: numbers.last,
      ...options,
    });
    if (applied.answer.is === 'commit') numbers.last = clientSeq;
    return applied;
  }

  outboxOf(user: Uint8Array): Uint8Array {
    const numbers = this.#numbers.get(user.join());
    assert.ok(numbers !== undefined);
    return numbers.outbox;
  }
}

export function sequenceOf(applied: Applied): number {
  assert.equal(applied.answer.is, 'commit', JSON.stringify(applied.answer));
  return applied.answer.is === 'commit' ? applied.answer.sequence : 0;
}

/** Refused for the reason, and nothing was appended. */
export function assertRefused(applied: Applied, reason: Reason, details?: object): void {
  assert.equal(applied.answer.is, 'refused', JSON.stringify(applied.answer));
  if (applied.answer.is !== 'refused') return;
  assert.equal(applied.answer.reason, reason);
  if (details !== undefined) assert.deepEqual(applied.answer.details, details);
  assert.equal(applied.row, undefined);
  assert.equal(applied.overlay, undefined);
}

/** The answer to a repeat: what was answered at first, and no new row. */
export function assertReplayed(applied: Applied, original: Applied): void {
  assert.deepEqual(applied.answer, { ...original.answer, replayed: true });
  assert.equal(applied.row, undefined);
}
