/**
 * Twins of the server's parts that break a promise on purpose: a world that is made of one must be
 * judged broken, else the judge is worth nothing. Beside them a twin that is weak but allowed: a log
 * that may append a send twice, as an engine that retries does (DESIGN §3 ShardLog).
 */
import { hex, newChunk } from '../../core/bytes.ts';
import { COMMAND_KIND, SEND_AT, SendView, commandKind } from '../../core/command.ts';
import { BODY_KIND } from '../../core/row.ts';
import type { ConversationView, MyView } from '../../broker/conversation/contract.ts';
import { PackedConversationMachine } from '../../broker/conversation/machine.ts';
import type { AppendResult, LoggedEntry, ShardLog } from '../../broker/runtime/shard-log.ts';
import type { ShardId } from '../../core/ids.ts';
import type {
  Disk,
  DiskFile,
  ShardRemains,
  WalRecord,
  WalRecovery,
} from '../../storage-engine/contract.ts';
import { Chance } from './chance.ts';

/** Where a send names the one that it was pipelined behind. */
const AFTER_AT = 72;

/** What of a node is replaced. */
export interface Weakness {
  readonly log?: (log: ShardLog) => ShardLog;
  readonly machine?: () => PackedConversationMachine;
  readonly recovery?: (recovery: WalRecovery) => WalRecovery;
  /** What the WAL is written to. */
  readonly disk?: (disk: Disk) => Disk;
}

/** Appended twice under its own number: the send window tells it from a new one. */
export function repeatsSends(seed: number): Weakness {
  const chance = new Chance(seed).fork('repeats');
  return { log: (log) => new WeakLog(log, (sends) => sends.filter(() => chance.is(0.3))) };
}

/** As if the window had forgotten what it accepted. */
export function appliesTwice(seed: number): Weakness {
  const chance = new Chance(seed).fork('twice');
  const again = (sends: readonly Uint8Array[]): Uint8Array[] =>
    sends
      .filter((send) => new SendView(send).bodyKind === BODY_KIND.message && chance.is(0.1))
      .map((send) => {
        const copy = send.slice();
        copy.set(chance.uuid(), SEND_AT.outbox);
        // The first of its outbox.
        copy.fill(0, AFTER_AT, AFTER_AT + 8);
        return copy;
      });
  return { log: (log) => new WeakLog(log, again) };
}

/** What was proposed first is not what is applied first, but is answered as if it were. */
export function reorders(): Weakness {
  return { log: (log) => new ReorderingLog(log, () => []) };
}

/** Acknowledges what is not on the disk: half of its syncs do nothing. */
export function acknowledgesUnsynced(seed: number): Weakness {
  const chance = new Chance(seed).fork('syncs');
  const lying = (file: DiskFile): DiskFile =>
    instead(file, { sync: () => (chance.is(0.5) ? file.sync() : undefined) });
  return {
    disk: (disk) => instead(disk, { open: (path, options) => lying(disk.open(path, options)) }),
  };
}

/** Each start loses the last entry of each shard. */
export function losesTail(): Weakness {
  return { recovery: (recovery) => eachLog(recovery, (log) => log.slice(0, -1)) };
}

/** Each start applies two neighbours in the other order. */
export function replaysInAnotherOrder(): Weakness {
  const swapped = (log: readonly WalRecord[]): readonly WalRecord[] => {
    const i = log.findIndex((record, at) => isSend(record) && isSend(log[at + 1]));
    const [a, b] = [log[i], log[i + 1]];
    if (a === undefined || b === undefined) return log;
    return log.with(i, { ...a, payload: b.payload }).with(i + 1, { ...b, payload: a.payload });
  };
  return { recovery: (recovery) => eachLog(recovery, swapped) };
}

/** Tells members that they have read and received less than they were told before. */
export function marksFall(seed: number): Weakness {
  const chance = new Chance(seed).fork('marks');
  const lower = (me: MyView): MyView =>
    chance.is(0.3) ? { ...me, readThrough: 0, deliveredThrough: 0 } : me;
  return {
    machine: () =>
      new WeakMachine((view) => ({
        me: (user) => {
          const me = view.me(user);
          return me === undefined ? undefined : lower(me);
        },
      })),
  };
}

/** Former members are members to whoever plans a row. */
export function deliversToFormerMembers(): Weakness {
  const known = new Map<string, Map<string, Uint8Array>>();
  return {
    machine: () =>
      new WeakMachine((view) => ({
        eachMember: (each) => {
          const id = hex(view.conversation);
          const before = known.get(id) ?? new Map<string, Uint8Array>();
          known.set(id, before);
          const present = new Set<string>();
          view.eachMember((user, role) => {
            present.add(hex(user));
            before.set(hex(user), user.slice());
            return each(user, role);
          });
          for (const [name, user] of before) if (!present.has(name)) each(user, 0);
        },
      })),
  };
}

/** A delete is logged, but the message stands as it stood. */
export function servesDeletedText(): Weakness {
  return { machine: () => new UnerasingMachine(() => ({ overlayCount: 0 })) };
}

class WeakLog implements ShardLog {
  readonly shard: number;
  readonly #log: ShardLog;
  readonly #more: (sends: readonly Uint8Array[]) => readonly Uint8Array[];

  constructor(log: ShardLog, more: (sends: readonly Uint8Array[]) => readonly Uint8Array[]) {
    this.shard = log.shard;
    this.#log = log;
    this.#more = more;
  }

  get isReady(): boolean {
    return this.#log.isReady;
  }
  get reign(): number {
    return this.#log.reign;
  }
  get tail(): number {
    return this.#log.tail;
  }
  get committed(): number {
    return this.#log.committed;
  }

  append(payloads: readonly Uint8Array[]): AppendResult {
    const sends = payloads.filter((payload) => commandKind(payload) === COMMAND_KIND.send);
    const more = this.#more(sends).map((send) => send.slice());
    return this.#log.append([...payloads, ...more]);
  }
  entry(index: number): LoggedEntry {
    return this.#log.entry(index);
  }
  applied(index: number): void {
    this.#log.applied(index);
  }
  trim(index: number): void {
    this.#log.trim(index);
  }
  readIndex(context: number): boolean {
    return this.#log.readIndex(context);
  }
}

class ReorderingLog extends WeakLog {
  override append(payloads: readonly Uint8Array[]): AppendResult {
    const isAllSends = payloads.every((payload) => commandKind(payload) === COMMAND_KIND.send);
    return super.append(isAllSends ? payloads.toReversed() : payloads);
  }
}

type Weakening = (view: ConversationView) => Partial<ConversationView>;

class WeakMachine extends PackedConversationMachine {
  readonly #weaken: Weakening;

  constructor(weaken: Weakening) {
    super({ newChunk });
    this.#weaken = weaken;
  }

  override view(conversation: Uint8Array): ConversationView | undefined {
    const view = super.view(conversation);
    if (view === undefined) return undefined;
    return instead(view, this.#weaken(view));
  }
}

class UnerasingMachine extends WeakMachine {
  override apply(
    index: number,
    command: Uint8Array,
  ): ReturnType<PackedConversationMachine['apply']> {
    const applied = super.apply(index, command);
    if (applied.overlay?.erased !== true) return applied;
    return { ...applied, overlay: { ...applied.overlay, erased: false } };
  }
}

/** The same object, but for these. */
function instead<T extends object>(whole: T, weak: Partial<T>): T {
  return new Proxy(whole, {
    get: (target, name): unknown => {
      const from = name in weak ? weak : target;
      const value: unknown = Reflect.get(from, name, from);
      return typeof value === 'function' ? (value.bind(from) as unknown) : value;
    },
  });
}

function isSend(record: WalRecord | undefined): boolean {
  return (
    record !== undefined &&
    record.payload[0] === 1 &&
    commandKind(record.payload) === COMMAND_KIND.send
  );
}

function eachLog(
  recovery: WalRecovery,
  change: (log: readonly WalRecord[]) => readonly WalRecord[],
): WalRecovery {
  const shards = new Map<ShardId, ShardRemains>();
  for (const [shard, remains] of recovery.shards)
    shards.set(shard, { ...remains, log: change(remains.log) });
  return { ...recovery, shards };
}
