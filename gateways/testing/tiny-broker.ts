/**
 * For tests: as much of a broker as gateways can tell apart, in memory, behind a Link. It appends,
 * numbers, recognises repeats, checks membership, fans out to routes, and answers reads.
 */
import { ByteWriter, hex, writeU53, viewOf } from '../../core/bytes.ts';
import {
  COMMAND_KIND,
  NO_ID,
  SEND_FLAG,
  type Command,
  type SendCommand,
} from '../../core/command.ts';
import { decodeCommand } from '../../core/command-codec.ts';
import { ParleyError, isReason } from '../../core/errors.ts';
import { encodeFacts, ROLE, type Facts } from '../../core/facts.ts';
import { slotOf } from '../../core/ids.ts';
import {
  encodeAccountEvent,
  encodeError,
  encodeReceipts,
  writeHandles,
  type ReceiptsPayload,
} from '../../core/link-payload.ts';
import type { Link } from '../../core/link.ts';
import {
  eachRecord,
  extraAt,
  flagsAt,
  idAt,
  kindAt,
  payloadAt,
  RECORD,
  requestAt,
  SlabWriter,
  type RecordHeader,
  type Slab,
} from '../../core/record.ts';
import { BODY_KIND, encodeRow, ROW_FLAG } from '../../core/row.ts';
import { queryNamed } from '../methods.ts';
import { linkedPair } from './linked-pair.ts';
import {
  LARGE_MEMBERS,
  TINY_EPOCH,
  TINY_SHARDS,
  shownTo,
  type TinyConversation,
} from './tiny-views.ts';
import { TinyReads } from './tiny-reads.ts';
import { TinyState } from './tiny-state.ts';

interface Done {
  readonly sequence: number;
  readonly timeMs: number;
  readonly queued: number;
  readonly replayed: boolean;
}

export class TinyBroker {
  readonly commands: Command[] = [];
  /** Answers the next commands with these instead of applying them. */
  readonly refusals: ParleyError[] = [];
  /** Holds back all answers and pushes while true. */
  isSilent: boolean = false;
  #link: Link | undefined;
  #writer: SlabWriter | undefined;
  readonly #routes = new Map<string, number>();
  readonly #state = new TinyState();
  readonly reads: TinyReads = new TinyReads(this.#state, (user) => this.routed(user));
  #clockMs = 1_800_000_000_000;

  get conversations(): ReadonlyMap<string, TinyConversation> {
    return this.#state.conversations;
  }

  /** A Link as the gateway makes it; an older one is over. */
  connect(): Link {
    const [ours, theirs] = linkedPair();
    this.#link = ours;
    this.#routes.clear();
    this.#writer = new SlabWriter(
      (slab) => ours.send(slab),
      (flush) => setImmediate(flush),
    );
    ours.listen({
      slab: (slab) => eachRecord(slab, (at) => this.#record(at, slab)),
      writable: () => undefined,
      closed: () => undefined,
    });
    return theirs;
  }

  cut(): void {
    this.#link?.close(new ParleyError('SHARD_UNAVAILABLE', 'the store is gone'));
  }

  routed(user: Uint8Array): boolean {
    return this.#routes.has(hex(user));
  }

  get routeCount(): number {
    return this.#routes.size;
  }

  /** Tells a user's gateway that a session was signed out. */
  revoke(user: Uint8Array, session: Uint8Array): void {
    const handle = this.#routes.get(hex(user)) ?? 0;
    this.#write(
      { kind: RECORD.account, handle },
      encodeAccountEvent({ is: 'session-revoked', session }),
    );
  }

  resync(shard: number): void {
    this.#write({ kind: RECORD.resync, shard }, NO_ID.subarray(0, 0));
  }

  /** A group without asking anybody, for fan-out tests. */
  seedGroup(raw: Uint8Array, users: readonly Uint8Array[]): void {
    const [creator = NO_ID] = users;
    const made = this.#state.make(raw, false, creator, this.#clockMs);
    for (const user of users) this.#join(made, user, ROLE.member);
  }

  #record(at: number, slab: Slab): void {
    const kind = kindAt(slab, at);
    const payload = payloadAt(slab, at);
    if (kind === RECORD.routes) return this.#addRoutes(payload, flagsAt(slab, at) === 1);
    if (kind === RECORD.unroutes) return this.#dropRoutes(payload);
    if (kind === RECORD.typing) return this.#typing(idAt(slab, at), payload);
    const request = requestAt(slab, at);
    try {
      if (kind === RECORD.command) this.#command(payload.slice(), request);
      else if (kind === RECORD.query) {
        const bytes = this.reads.answer(extraAt(slab, at), payload);
        this.#write({ kind: RECORD.result, request, position: this.#state.indexOf(0) }, bytes);
      }
    } catch (error) {
      if (!(error instanceof ParleyError)) throw error;
      if (request > 0) this.#write({ kind: RECORD.error, request }, encodeError(error));
    }
  }

  #write(header: RecordHeader, payload: Uint8Array): void {
    if (!this.isSilent) this.#writer?.write(header, payload);
  }

  #addRoutes(payload: Uint8Array, isWhole: boolean): void {
    if (isWhole) this.#routes.clear();
    for (let at = 0; at < payload.length; at += 20)
      this.#routes.set(hex(payload.subarray(at + 4, at + 20)), viewOf(payload).getUint32(at, true));
  }

  #dropRoutes(payload: Uint8Array): void {
    for (let at = 0; at < payload.length; at += 4)
      for (const [user, handle] of this.#routes)
        if (handle === viewOf(payload).getUint32(at, true)) this.#routes.delete(user);
  }

  #handles(users: Iterable<string>): number[] {
    return [...users].flatMap((user) => this.#routes.get(user) ?? []);
  }

  #typing(conversation: Uint8Array, payload: Uint8Array): void {
    const found = this.conversations.get(hex(conversation));
    if (found?.members.has(hex(payload.subarray(0, 16))) !== true) return;
    const out = new ByteWriter(64);
    writeHandles(out, this.#handles(found.members.keys()));
    this.#write({ kind: RECORD.typingOut, id: conversation }, out.raw(payload).finish());
  }

  // ---- commands

  #command(bytes: Uint8Array, request: number): void {
    const command = decodeCommand(bytes);
    this.commands.push(command);
    const refusal = this.refusals.shift();
    if (refusal !== undefined) throw refusal;
    const done = this.#apply(command);
    if (request === 0) return;
    const payload = new Uint8Array(24);
    writeU53(viewOf(payload), 0, done.timeMs);
    this.#write(
      {
        kind: RECORD.commit,
        request,
        position: done.sequence,
        count: done.queued,
        flags: done.replayed ? 1 : 0,
        id: command.key,
      },
      payload,
    );
  }

  #apply(command: Command): Done {
    if (command.kind === COMMAND_KIND.send) return this.#send(command);
    if (command.kind === COMMAND_KIND.createGroup) {
      const known = this.conversations.get(hex(command.key));
      if (known !== undefined)
        return { sequence: 1, timeMs: known.lastTimeMs, queued: 0, replayed: true };
      const made = this.#state.make(command.key, false, command.caller, this.#clockMs);
      made.name = command.name;
      this.#join(made, command.caller, ROLE.owner);
      for (const user of command.members) this.#join(made, user, ROLE.member);
      const users = [command.caller, ...command.members];
      const facts: Facts = { is: 'created', name: command.name, users };
      return this.#append(made, { facts, kind: BODY_KIND.created, by: command.caller });
    }
    return this.#change(command, this.#state.of(command.key, command.caller));
  }

  #change(command: Command, c: TinyConversation): Done {
    const by = command.caller;
    const ifVersion = 'ifVersion' in command ? (command.ifVersion ?? 0) : 0;
    if (ifVersion !== 0 && ifVersion !== c.version)
      throw new ParleyError('VERSION_CONFLICT', 'it changed since it was read');
    switch (command.kind) {
      case COMMAND_KIND.addMembers:
        for (const user of command.users) this.#join(c, user, command.role);
        return this.#append(c, {
          kind: BODY_KIND.member,
          by,
          facts: { is: 'member', change: 'added', role: command.role, by, users: command.users },
        });
      case COMMAND_KIND.removeMember: {
        const done = this.#append(c, {
          kind: BODY_KIND.member,
          by,
          facts: { is: 'member', change: 'removed', role: 0, by, users: [command.user] },
        });
        this.#leave(c, command.user);
        return done;
      }
      case COMMAND_KIND.setRole: {
        const member = c.members.get(hex(command.user));
        if (member === undefined) throw new ParleyError('USER_UNKNOWN', 'not a member');
        member.role = command.role;
        const facts: Facts = {
          is: 'member',
          change: 'role',
          role: command.role,
          by,
          users: [command.user],
        };
        return this.#append(c, { kind: BODY_KIND.member, by, facts });
      }
      case COMMAND_KIND.updateConversation: {
        c.name = command.name ?? c.name;
        c.version++;
        const facts: Facts = { is: 'update', fields: ['name'], name: c.name, closed: c.isClosed };
        return this.#append(c, { kind: BODY_KIND.update, by, facts });
      }
      case COMMAND_KIND.closeConversation: {
        c.isClosed = true;
        const facts: Facts = { is: 'update', fields: ['closed'], name: c.name, closed: true };
        return this.#append(c, { kind: BODY_KIND.update, by, facts });
      }
      case COMMAND_KIND.mark:
        this.#mark(c, by, command);
        break;
      default:
    }
    return { sequence: c.rows.length, timeMs: c.lastTimeMs, queued: 0, replayed: false };
  }

  #send(send: SendCommand): Done {
    const isDirect = (send.flags & SEND_FLAG.direct) !== 0;
    let c = this.conversations.get(hex(send.key));
    const hasOutbox = (send.flags & SEND_FLAG.outbox) !== 0;
    const lane = hex(hasOutbox ? send.outbox : send.caller);
    const window = `${lane} ${hasOutbox ? send.clientSeq : hex(send.clientMessageId)}`;
    const before = c?.windows.get(window);
    if (before !== undefined && c !== undefined) {
      if (before.hash !== hex(send.payloadHash))
        throw new ParleyError('IDEMPOTENCY_CONFLICT', 'the same number with other content');
      return { sequence: before.sequence, timeMs: before.timeMs, queued: 0, replayed: true };
    }
    if ((send.flags & SEND_FLAG.veto) !== 0) {
      const reason = new TextDecoder().decode(send.body);
      throw new ParleyError(isReason(reason) ? reason : 'INVARIANT', 'vetoed');
    }
    if (c === undefined && isDirect) {
      c = this.#state.make(send.key, true, send.caller, this.#clockMs);
      this.#join(c, send.caller, ROLE.member);
      this.#join(c, send.peer, ROLE.member);
    }
    c = this.#state.of(send.key, send.caller);
    if (c.isClosed) throw new ParleyError('CONVERSATION_CLOSED', 'closed');
    const last = c.lastAccepted.get(lane) ?? 0;
    if (hasOutbox && send.after !== last)
      throw new ParleyError('OUT_OF_ORDER', 'not the last accepted', { lastAccepted: last });
    const done = this.#append(c, { send, kind: send.bodyKind, by: send.caller });
    c.windows.set(window, { hash: hex(send.payloadHash), ...done });
    if (hasOutbox) c.lastAccepted.set(lane, send.clientSeq);
    return done;
  }

  #mark(
    c: TinyConversation,
    by: Uint8Array,
    mark: { deliveredThrough: number; readThrough: number },
  ): void {
    const member = c.members.get(hex(by));
    if (member === undefined) return;
    member.delivered = Math.min(c.rows.length, Math.max(member.delivered, mark.deliveredThrough));
    member.read = Math.min(c.rows.length, Math.max(member.read, mark.readThrough));
    const marks = { deliveredThrough: member.delivered, readThrough: member.read };
    c.lastIndex = this.#state.bump(c.raw);
    if (c.isDirect) {
      const others = [...c.members.keys()].filter((user) => user !== hex(by));
      this.#receipts(c, others, { is: 'peer', user: by, ...marks, timeMs: c.lastTimeMs });
    }
    const unreadCount = c.rows.length - member.read;
    this.#receipts(c, [hex(by)], {
      is: 'me',
      ...marks,
      unreadCount,
      mentionCount: 0,
      head: c.rows.length,
    });
  }

  #receipts(c: TinyConversation, users: readonly string[], receipts: ReceiptsPayload): void {
    const handles = this.#handles(users);
    if (handles.length === 0) return;
    const out = new ByteWriter(128);
    writeHandles(out, handles);
    encodeReceipts(receipts, out);
    this.#write({ kind: RECORD.receipts, id: c.raw }, out.finish());
  }

  #append(
    c: TinyConversation,
    what: {
      readonly kind: number;
      readonly by: Uint8Array;
      readonly send?: SendCommand;
      readonly facts?: Facts;
    },
  ): Done {
    const { send, facts } = what;
    const sequence = c.rows.length + 1;
    c.lastTimeMs = ++this.#clockMs;
    const hasOutbox = ((send?.flags ?? 0) & SEND_FLAG.outbox) !== 0;
    const row = encodeRow({
      bodyKind: what.kind as SendCommand['bodyKind'],
      flags:
        (send === undefined ? ROW_FLAG.server : ROW_FLAG.countable) |
        (hasOutbox ? ROW_FLAG.outbox : 0),
      sequence,
      timeMs: c.lastTimeMs,
      ordinal: sequence,
      mentionAllOrdinal: 0,
      clientSeq: send?.clientSeq ?? 0,
      target: send?.target ?? 0,
      sender: what.by,
      device: send?.device ?? NO_ID,
      outbox: send?.outbox ?? NO_ID,
      clientMessageId: send?.clientMessageId ?? NO_ID,
      payloadHash: send?.payloadHash ?? NO_ID,
      mentions: send?.mentions ?? new Uint8Array(0),
      body: facts === undefined ? (send?.body ?? NO_ID) : encodeFacts(facts).body,
    });
    c.rows.push(row);
    c.lastIndex = this.#state.bump(c.raw);
    const others = [...c.members.keys()].filter((user) => user !== hex(what.by));
    const queued = others.filter((user) => !this.#routes.has(user)).length;
    this.#fanOut(c, row);
    return { sequence, timeMs: c.lastTimeMs, queued, replayed: false };
  }

  #fanOut(c: TinyConversation, row: Uint8Array): void {
    const handles = this.#handles(c.members.keys());
    const shard = slotOf(c.raw) % TINY_SHARDS;
    if (handles.length > 0) {
      const out = new ByteWriter(row.length + 64);
      writeHandles(out, handles);
      this.#write(
        {
          kind: RECORD.row,
          id: c.raw,
          position: c.rows.length,
          extra: TINY_EPOCH,
          count: Math.min(handles.length, 65_535),
          shard,
          flags: c.members.size >= LARGE_MEMBERS ? 1 : 0,
        },
        out.raw(row).finish(),
      );
    }
    const position = this.#state.indexOf(shard);
    this.#write({ kind: RECORD.progress, shard, position }, NO_ID.subarray(0, 0));
  }

  #join(c: TinyConversation, user: Uint8Array, role: number): void {
    const key = hex(user);
    if (c.members.has(key)) return;
    c.members.set(key, {
      user: user.slice(),
      role,
      joinSequence: c.rows.length + 1,
      delivered: 0,
      read: 0,
    });
    this.#state.account(key).push({ conversation: c.raw, joined: true });
    const handle = this.#routes.get(key);
    if (handle === undefined || c.isDirect) return;
    const bytes = queryNamed('Conversations.Get').output.encode(shownTo(c, key) as never);
    this.#write({ kind: RECORD.conversation, handle, id: c.raw }, bytes);
  }

  #leave(c: TinyConversation, user: Uint8Array): void {
    const key = hex(user);
    c.members.delete(key);
    c.left.add(key);
    this.#state.account(key).push({ conversation: c.raw, joined: false });
    const handle = this.#routes.get(key);
    if (handle !== undefined)
      this.#write({ kind: RECORD.conversation, handle, id: c.raw, flags: 1 }, NO_ID.subarray(0, 0));
  }
}
