import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import fc from 'fast-check';
import { hex } from '../../core/bytes.ts';
import { COMMAND_KIND, SEND_FLAG } from '../../core/command.ts';
import { encodeCommand } from '../../core/command-codec.ts';
import { directConversationRaw, groupConversationRaw } from '../../core/ids.ts';
import { BODY_KIND, RowView } from '../../core/row.ts';
import type { Applied, DirtyUnit } from './contract.ts';
import { decodeOverlay } from './overlay.ts';
import { ModelConversation, type Order, type Settings } from './reference-model.ts';
import { idOf, markCommand, sendCommand, Shard } from './test-kit.ts';

/** Enough for a group whose members lie in pages. */
const USERS: readonly string[] = Array.from({ length: 24 }, (_, i) => String(i));
const DAY_MS = 24 * 3_600_000;

interface Place {
  readonly id: Uint8Array;
  readonly pair: readonly string[];
  readonly request: number;
}

const user = (name: string): Uint8Array => idOf(name === 'none' ? 99 : Number(name) + 1);

const PLACES: readonly Place[] = [
  direct('0', '1'),
  direct('1', '2'),
  direct('0', '0'),
  ...[1, 2].map((request) => ({
    id: groupConversationRaw(user('0'), idOf(request, 6)),
    pair: [],
    request,
  })),
];

function direct(a: string, b: string): Place {
  const pair = a === b ? [a] : [a, b];
  return { id: directConversationRaw(user(a), user(b)), pair, request: 0 };
}

/** Raw choices; what they mean depends on the state when they are drawn upon. */
interface Step {
  readonly place: number;
  readonly by: number;
  readonly what: number;
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly waitMs: number;
  /** What the restless replica does before it applies. */
  readonly chore: number;
  /** Proposed while the one before is still in flight. */
  readonly pipelined: boolean;
}

const step = fc.record({
  place: fc.nat(PLACES.length - 1),
  by: fc.nat(99),
  what: fc.nat(99),
  a: fc.nat(99),
  b: fc.nat(99),
  c: fc.nat(99),
  waitMs: fc.oneof(
    { weight: 30, arbitrary: fc.constantFrom(1, 700, -5) },
    { weight: 1, arbitrary: fc.constantFrom(DAY_MS + 2, 3 * DAY_MS, 91 * DAY_MS) },
  ),
  chore: fc.nat(9),
  pipelined: fc.boolean(),
});

function settingsOf(bits: number): Settings {
  return {
    historyAll: (bits & 1) !== 0,
    sendAdminsOnly: bits % 7 === 6,
    addMembersToo: (bits & 2) !== 0,
    slowModeMs: bits % 5 === 4 ? 500 : 0,
  };
}

const nameOf = (number: number): string => USERS[number % USERS.length] ?? '0';

/** Mostly somebody who may, sometimes anybody. */
function whoOf(place: Place, model: ModelConversation, by: number): string {
  const founders = place.pair.length > 0 ? place.pair : ['0'];
  const insiders = model.present.length > 0 ? model.present : founders;
  return by >= 90 ? nameOf(by) : (insiders[by % insiders.length] ?? '0');
}

function orderOf(model: ModelConversation, by: string, { what, a, b, c }: Step): Order {
  if (what >= 93 || (!model.isDirect && model.head === 0 && what < 80))
    return {
      do: 'create',
      members: USERS.slice(a % 8, (a % 8) + (b % 20)),
      settings: settingsOf(c % 8),
    };
  if (what < 50) return sendOf(model, by, { what, a, b, c });
  if (what < 62) return { do: 'mark', read: a % (model.head + 3), delivered: b % (model.head + 3) };
  if (what < 72) return { do: 'add', users: [nameOf(a), nameOf(b)], role: c % 9 > 6 ? c % 4 : 0 };
  if (what < 78) return { do: 'remove', user: nameOf(a) };
  if (what < 82) return { do: 'role', user: nameOf(a), role: b % 4 };
  if (what < 86) return { do: 'update', name: `name ${a % 3}`, settings: settingsOf(b) };
  if (what < 87)
    return c % 5 === 0 ? { do: 'close' } : { do: 'role', user: nameOf(a % 6), role: 2 };
  if (what < 90) return { do: 'mine', archived: a % 2 === 0, clearedThrough: b % 9 };
  return { do: 'block', blocked: a % 4 === 0 };
}

function sendOf(
  model: ModelConversation,
  by: string,
  { what, a, b, c }: Pick<Step, 'what' | 'a' | 'b' | 'c'>,
): Order {
  const outbox = a % 6 === 0 ? '' : `${by}${a % 2}`;
  const last = model.lastAccepted(by, outbox);
  const isFresh = b % 4 !== 0;
  const clientSeq = isFresh
    ? last + 1 + (b % 9 === 0 ? 2 : 0)
    : Math.max(0, last - Math.floor(b / 8));
  const target = 1 + (c % (model.head + 2));
  return {
    do: 'send',
    kind: what < 34 ? 'message' : what < 43 ? 'edit' : 'delete',
    text: c % 10 === 0 && !isFresh ? 'other' : 'text',
    outbox,
    clientSeq: outbox === '' ? b % 12 : clientSeq,
    after: isFresh && c % 8 !== 0 ? last : c % 5,
    target: c % 3 === 0 ? Math.max(1, last - (c % 4)) : target,
    targetIsClientSeq: c % 3 === 0,
    mentions: c % 4 === 1 ? [nameOf(c % 6), nameOf(a), nameOf(a)] : [],
    mentionAll: c % 11 === 0,
    silent: a % 10 === 0,
    veto: b % 17 === 0,
    direct: c % 9 !== 0,
  };
}

function encode(place: Place, by: string, order: Order): Uint8Array {
  const key = place.id;
  const caller = user(by);
  const header = { timeMs: 0, key, caller };
  const { kind: _, ...kinds } = { ...COMMAND_KIND, kind: 0 };
  switch (order.do) {
    case 'send':
      return encodeOrder(place, by, order);
    case 'mark':
      return markCommand(key, caller, order);
    case 'create':
      return encodeCommand({
        ...header,
        kind: kinds.createGroup,
        requestId: idOf(place.request, 6),
        name: 'a group',
        members: order.members.map(user),
        settings: order.settings,
      });
    case 'add': {
      const users = order.users.map(user);
      return encodeCommand({ ...header, kind: kinds.addMembers, users, role: order.role });
    }
    case 'remove':
      return encodeCommand({ ...header, kind: kinds.removeMember, user: user(order.user) });
    case 'role': {
      const { role } = order;
      return encodeCommand({ ...header, kind: kinds.setRole, user: user(order.user), role });
    }
    case 'update': {
      const { name, settings } = order;
      const kind = kinds.updateConversation;
      return encodeCommand({ ...header, kind, name, settings, ifVersion: 0 });
    }
    case 'close':
      return encodeCommand({ ...header, kind: kinds.closeConversation });
    case 'mine': {
      const { archived, clearedThrough } = order;
      return encodeCommand({ ...header, kind: kinds.setMyState, archived, clearedThrough });
    }
    case 'block': {
      const peer = user(peerIn(place, by));
      return encodeCommand({ ...header, kind: kinds.setBlock, peer, blocked: order.blocked });
    }
  }
}

function peerIn(place: Place, by: string): string {
  return place.pair.find((name) => name !== by) ?? place.pair[0] ?? 'none';
}

function encodeOrder(place: Place, by: string, order: Extract<Order, { do: 'send' }>): Uint8Array {
  const bits =
    (order.mentionAll ? SEND_FLAG.mentionAll : 0) |
    (order.silent ? SEND_FLAG.silent : 0) |
    (order.veto ? SEND_FLAG.veto : 0) |
    (order.targetIsClientSeq ? SEND_FLAG.targetIsClientSeq : 0);
  const command = sendCommand({
    to: place.id,
    from: user(by),
    text: order.text,
    clientSeq: order.clientSeq,
    after: order.after,
    target: order.target,
    flags: bits,
    bodyKind: BODY_KIND[order.kind],
    mentions: order.mentions.map(user),
    ...(order.outbox === '' ? {} : { outbox: idOf(Number(order.outbox), 7) }),
    ...(order.direct && place.pair.length > 0 ? { peer: user(peerIn(place, by)) } : {}),
  });
  return order.veto ? withBody(command, 'MEDIA_UNKNOWN') : command;
}

/** A veto has the number and the hash of what it stands for, and the reason as its body. */
function withBody(command: Uint8Array, body: string): Uint8Array {
  const mentions = new DataView(command.buffer, command.byteOffset).getUint16(58, true);
  const text = new TextEncoder().encode(body);
  const bytes = new Uint8Array(168 + mentions * 16 + text.length);
  bytes.set(command.subarray(0, 168 + mentions * 16));
  bytes.set(text, 168 + mentions * 16);
  return bytes;
}

function told(applied: Applied): string {
  const { answer } = applied;
  if (answer.is === 'commit') return `${answer.replayed ? 'replay' : 'commit'} ${answer.sequence}`;
  return answer.reason === 'OUT_OF_ORDER'
    ? `OUT_OF_ORDER ${answer.details['lastAccepted']}`
    : answer.reason;
}

/** A leader that keeps everything, a follower that forgets what it may, and the model. */
class Trio {
  readonly leader: Shard = new Shard();
  readonly follower: Shard = new Shard();
  readonly models: readonly ModelConversation[];
  #waiting: { readonly entry: Uint8Array; readonly judge: (applied: Applied) => void }[] = [];
  #taken: readonly DirtyUnit[] | undefined;

  constructor(membersMax: number) {
    this.models = PLACES.map((place) => new ModelConversation(place.pair, membersMax));
    for (const shard of [this.leader, this.follower]) shard.settings({ membersMax, editsMax: 3 });
  }

  step(step: Step): void {
    const place = PLACES[step.place];
    const model = this.models[step.place];
    assert.ok(place !== undefined && model !== undefined);
    if (!step.pipelined) this.settle();
    const by = whoOf(place, model, step.by);
    // Nobody has seen what is still in flight; a mark above the head is clamped to what was there.
    const drawn = orderOf(model, by, step);
    const order =
      drawn.do === 'mark' && this.#waiting.length > 0
        ? { ...drawn, read: Math.min(drawn.read, model.head) }
        : drawn;
    this.leader.nowMs += step.waitMs;
    const stampMs = this.leader.nowMs + 1;
    const entry = this.leader.propose(encode(place, by, order));
    const judge = (applied: Applied): void => {
      this.#chore(step.chore);
      assert.equal(told(applied), model.apply(by, order, stampMs), JSON.stringify(order));
      this.follower.meet(entry);
      this.follower.machine.pin(entry);
      const followed = this.follower.commit(entry);
      assert.deepEqual(followed, applied);
    };
    this.#waiting.push({ entry, judge });
  }

  settle(): void {
    for (const { entry, judge } of this.#waiting) judge(this.leader.commit(entry));
    this.#waiting = [];
  }

  compare(): void {
    for (const [i, place] of PLACES.entries()) {
      const model = this.models[i];
      assert.ok(model !== undefined);
      for (const shard of [this.leader, this.follower]) compareView(shard, place, model);
    }
    assert.equal(this.leader.machine.effectsChecksum, this.follower.machine.effectsChecksum);
    this.leader.flush();
    this.#endFlush();
    this.follower.flush();
    assert.deepEqual(bytesOf(this.follower), bytesOf(this.leader));
  }

  #chore(chore: number): void {
    const { follower } = this;
    if (chore === 0) this.#endFlush();
    if (chore === 0) follower.restart();
    if (chore === 1) {
      this.#endFlush();
      this.#taken = follower.machine.takeDirty();
    }
    if (chore === 2) this.#endFlush();
    if (chore >= 3 && chore <= 5) for (const place of PLACES) follower.machine.evict(place.id);
  }

  /** What was taken becomes durable late, after more was applied. */
  #endFlush(): void {
    if (this.#taken === undefined) return;
    this.follower.store(this.#taken);
    this.follower.machine.flushed();
    this.#taken = undefined;
  }
}

function bytesOf(shard: Shard): string[] {
  const all: string[] = [];
  for (const [conversation, units] of shard.stored)
    for (const [key, unit] of units) all.push(`${conversation} ${key} ${hex(unit.value)}`);
  return all.sort();
}

function compareView(shard: Shard, place: Place, model: ModelConversation): void {
  if (!shard.machine.isResident(place.id)) shard.load(place.id);
  const view = shard.machine.view(place.id);
  if (model.head === 0) {
    assert.equal(view, undefined);
    return;
  }
  assert.ok(view !== undefined);
  assert.equal(view.head, model.head);
  assert.equal(view.messageCount, model.rows.filter((row) => row.counts).length);
  assert.equal(view.memberCount, model.present.length);
  assert.equal(view.closed, model.isClosed);
  assert.equal(view.overlayCount, model.changes.size);
  if (!model.isDirect) assert.equal(view.name, model.name);
  const members: string[] = [];
  view.eachMember((raw) => {
    members.push(hex(raw));
    return undefined;
  });
  assert.deepEqual(
    members,
    model.isDirect
      ? model.present.map((name) => hex(user(name))).sort()
      : model.present.map((name) => hex(user(name))),
  );
  for (const name of USERS) {
    compareMember(shard, place, model, name);
    const counts = view.counts(Math.max(1, model.head - 1), user(name));
    assert.deepEqual(counts, model.counts(Math.max(1, model.head - 1), name));
  }
  compareRows(shard, place, model);
}

function compareMember(shard: Shard, place: Place, model: ModelConversation, name: string): void {
  const view = shard.machine.view(place.id);
  const member = model.members.get(name);
  const raw = user(name);
  assert.equal(
    view?.membership(raw),
    member === undefined ? undefined : member.isPresent ? 'member' : 'left',
  );
  const me = view?.me(raw);
  if (member === undefined || !member.isPresent) {
    assert.equal(me, undefined);
    return;
  }
  assert.deepEqual(
    {
      role: me?.role,
      read: me?.readThrough,
      delivered: me?.deliveredThrough,
      historyFrom: me?.historyFrom,
      unread: me?.unreadCount,
      mentions: me?.mentionCount,
      archived: me?.archived,
      cleared: me?.clearedThrough,
    },
    {
      role: member.role,
      read: member.read,
      delivered: member.delivered,
      historyFrom: member.historyFrom,
      unread: model.unread(name),
      mentions: model.mentions(name),
      archived: member.archived,
      cleared: member.cleared,
    },
  );
}

function compareRows(shard: Shard, place: Place, model: ModelConversation): void {
  const key = place.id.join();
  const rows = shard.rows.get(key) ?? [];
  let ordinal = 0;
  for (const [i, bytes] of rows.entries()) {
    const row = new RowView(bytes);
    const expected = model.rows[i];
    if (expected?.counts) ordinal += 1;
    assert.deepEqual(
      [row.sequence, row.timeMs, row.ordinal, hex(row.sender)],
      [i + 1, expected?.timeMs, ordinal, hex(user(expected?.by ?? ''))],
    );
  }
  for (const [sequence, change] of model.changes) {
    const overlay = decodeOverlay(shard.overlays.get(`${key}/${sequence}`) ?? new Uint8Array(0));
    assert.equal(overlay.deleted, change.deletedBy > 0);
    assert.deepEqual(overlay.editSequences, change.edits);
    assert.equal(overlay.editCount, change.edits.length);
    const last = change.deletedBy > 0 ? change.deletedBy : change.edits.at(-1);
    assert.equal(overlay.changeSequence, last);
    assert.equal(overlay.body.length > 0, change.deletedBy === 0);
  }
}

describe('the conversation machine', () => {
  const title =
    'answers, counts and orders as the model does, and a replica that forgets and reloads stays equal in every byte';
  for (const [membersMax, where] of [
    [4, 'members in the header'],
    [20, 'members in pages'],
  ] as const)
    it(`${title} (${where}; R036, R138, R139, R140, G2, G3, G5, G6; CONTRACT §9 cases 17, 43, 45)`, function () {
      this.timeout(60_000);
      fc.assert(
        fc.property(fc.array(step, { minLength: 1, maxLength: 200, size: 'max' }), (steps) => {
          const trio = new Trio(membersMax);
          for (const step of steps) trio.step(step);
          trio.settle();
          trio.compare();
        }),
        { numRuns: 100 },
      );
    });
});
