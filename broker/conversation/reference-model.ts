/**
 * What a conversation machine must do, in arrays and objects, written from the contract and not from
 * the machine: slow, obvious, for tests only. Answers are told as strings.
 */
import { ROLE } from '../../core/facts.ts';

const DAY_MS = 24 * 3_600_000;

export type Order =
  | {
      readonly do: 'send';
      readonly kind: 'message' | 'edit' | 'delete';
      readonly text: string;
      readonly outbox: string;
      readonly clientSeq: number;
      readonly after: number;
      readonly target: number;
      readonly targetIsClientSeq: boolean;
      readonly mentions: readonly string[];
      readonly mentionAll: boolean;
      readonly silent: boolean;
      readonly veto: boolean;
      readonly direct: boolean;
    }
  | { readonly do: 'mark'; readonly read: number; readonly delivered: number }
  | { readonly do: 'create'; readonly members: readonly string[]; readonly settings: Settings }
  | { readonly do: 'add'; readonly users: readonly string[]; readonly role: number }
  | { readonly do: 'remove'; readonly user: string }
  | { readonly do: 'role'; readonly user: string; readonly role: number }
  | { readonly do: 'update'; readonly name: string; readonly settings: Settings }
  | { readonly do: 'close' }
  | { readonly do: 'mine'; readonly archived: boolean; readonly clearedThrough: number }
  | { readonly do: 'block'; readonly blocked: boolean };

export interface Settings {
  readonly historyAll: boolean;
  readonly sendAdminsOnly: boolean;
  readonly addMembersToo: boolean;
  readonly slowModeMs: number;
}

export interface ModelMember {
  isPresent: boolean;
  everJoined: boolean;
  role: number;
  joined: number;
  historyFrom: number;
  read: number;
  delivered: number;
  archived: boolean;
  cleared: number;
}

export interface ModelRow {
  readonly by: string;
  readonly kind: string;
  readonly counts: boolean;
  readonly mentions: readonly string[];
  readonly mentionAll: boolean;
  readonly timeMs: number;
}

interface Window {
  last: number;
  usedMs: number;
  entries: { number: number; content: string; sequence: number; timeMs: number }[];
}

interface KeyEntry {
  readonly key: string;
  readonly content: string;
  readonly sequence: number;
  readonly timeMs: number;
}

interface Change {
  deletedBy: number;
  deletedMs: number;
  edits: number[];
}

export class ModelConversation {
  readonly isDirect: boolean;
  /** Of a direct: its users. */
  readonly pair: readonly string[];
  readonly rows: ModelRow[] = [];
  readonly members: Map<string, ModelMember> = new Map();
  readonly windows: Map<string, Window> = new Map();
  readonly keys: Map<string, KeyEntry[]> = new Map();
  readonly changes: Map<number, Change> = new Map();
  readonly lastMessageMs: Map<string, number> = new Map();
  readonly blockedBy: Set<string> = new Set();
  settings: Settings = {
    historyAll: false,
    sendAdminsOnly: false,
    addMembersToo: false,
    slowModeMs: 0,
  };
  name = 'a group';
  isClosed = false;
  isKnown = false;
  lastMs = 0;
  readonly #membersMax: number;

  constructor(pair: readonly string[], membersMax: number) {
    this.isDirect = pair.length > 0;
    this.pair = pair;
    this.#membersMax = membersMax;
  }

  get head(): number {
    return this.rows.length;
  }

  /** What the command is answered: `commit <sequence>`, `replay <sequence>` or a reason. */
  apply(by: string, order: Order, stampMs: number): string {
    const nowMs = Math.max(stampMs, this.isKnown ? this.lastMs : 0);
    if (order.do === 'create') return this.#create(by, order, nowMs);
    if (order.do === 'block') return this.#block(by, order.blocked);
    const member = this.members.get(by);
    if (order.do === 'send') return this.#send(by, order, nowMs);
    if (this.head === 0 || !member?.everJoined) return 'CONVERSATION_UNKNOWN';
    if (!member.isPresent) {
      return order.do === 'remove' && order.user === by ? `replay ${this.head}` : 'NOT_A_MEMBER';
    }
    switch (order.do) {
      case 'mark':
        member.read = Math.max(member.read, Math.min(order.read, this.head));
        member.delivered = Math.max(
          member.delivered,
          member.read,
          Math.min(order.delivered, this.head),
        );
        return `commit ${this.head}`;
      case 'mine':
        member.archived = order.archived;
        member.cleared = Math.max(member.cleared, Math.min(order.clearedThrough, this.head));
        return `commit ${this.head}`;
      case 'add':
        return this.#add(by, member, order, nowMs);
      case 'remove':
        return this.#remove(by, member, order.user, nowMs);
      case 'role':
        return this.#role(by, member, order, nowMs);
      case 'update':
        return this.#update(by, member, order, nowMs);
      case 'close':
        if (this.isDirect || member.role !== ROLE.owner) return 'ROLE_REQUIRED';
        if (this.isClosed) return `replay ${this.head}`;
        this.isClosed = true;
        return this.#server(by, 'update', nowMs);
    }
  }

  /** By looking at every row. */
  unread(user: string): number {
    const member = this.members.get(user);
    if (member === undefined) return 0;
    return this.rows.filter((row, i) => i + 1 > member.read && row.counts && row.by !== user)
      .length;
  }

  mentions(user: string): number {
    const member = this.members.get(user);
    if (member === undefined) return 0;
    const naming = this.rows.filter(
      (row, i) =>
        i + 1 > member.read &&
        row.counts &&
        row.by !== user &&
        (row.mentionAll || row.mentions.includes(user)),
    );
    return Math.min(naming.length, 256);
  }

  counts(sequence: number, sender: string): { of: number; delivered: number; read: number } {
    const recipients = [...this.members].filter(
      ([user, member]) => user !== sender && member.isPresent && member.joined < sequence,
    );
    return {
      of: recipients.length,
      delivered: recipients.filter(([, member]) => member.delivered >= sequence).length,
      read: recipients.filter(([, member]) => member.read >= sequence).length,
    };
  }

  get present(): string[] {
    return [...this.members].filter(([, member]) => member.isPresent).map(([user]) => user);
  }

  lastAccepted(user: string, outbox: string): number {
    return this.windows.get(`${user}/${outbox}`)?.last ?? 0;
  }

  #send(by: string, order: Extract<Order, { do: 'send' }>, nowMs: number): string {
    const isFirst = this.head === 0;
    const member = this.members.get(by);
    if (isFirst ? !(this.pair.includes(by) && order.direct) : !member?.everJoined)
      return 'CONVERSATION_UNKNOWN';
    const earlier =
      order.outbox === '' ? this.#byKey(by, order, nowMs) : this.#byNumber(by, order, nowMs);
    if (earlier !== undefined) return earlier;
    if (!isFirst && !member?.isPresent) return 'NOT_A_MEMBER';
    if (isFirst || order.kind !== 'delete') {
      if (this.isClosed) return 'CONVERSATION_CLOSED';
      if (this.blockedBy.size > 0) return 'BLOCKED';
    }
    if (order.kind !== 'delete' && member !== undefined && !isFirst) {
      const leads = member.role === ROLE.owner || member.role === ROLE.admin;
      if (this.settings.sendAdminsOnly && !leads) return 'ROLE_REQUIRED';
      const lastMs = this.lastMessageMs.get(by);
      if (order.kind === 'message' && !leads && lastMs !== undefined)
        if (this.settings.slowModeMs > 0 && lastMs + this.settings.slowModeMs > nowMs)
          return 'SLOW_MODE';
    }
    if (order.veto) return 'MEDIA_UNKNOWN';
    if (order.kind !== 'message')
      return isFirst ? 'MESSAGE_UNKNOWN' : this.#change(by, order, nowMs);
    if (isFirst) for (const user of this.pair) this.#join(user, 0, ROLE.member, 1);
    const counts = !order.silent;
    const mentionAll = counts && order.mentionAll;
    const present = order.mentions.filter((user) => this.members.get(user)?.isPresent);
    const mentions = counts && !mentionAll ? present : [];
    this.lastMessageMs.set(by, nowMs);
    return this.#sent(by, order, nowMs, { kind: 'message', counts, mentions, mentionAll });
  }

  #change(by: string, order: Extract<Order, { do: 'send' }>, nowMs: number): string {
    const member = this.members.get(by);
    let target = order.target;
    if (order.targetIsClientSeq)
      target =
        this.#window(by, order.outbox, nowMs).entries.find((entry) => entry.number === order.target)
          ?.sequence ?? 0;
    const row = this.rows[target - 1];
    if (row === undefined || member === undefined || target < member.historyFrom)
      return 'MESSAGE_UNKNOWN';
    if (row.kind !== 'message') return 'MESSAGE_UNKNOWN';
    const change = this.changes.get(target) ?? { deletedBy: 0, deletedMs: 0, edits: [] };
    const none = { counts: false, mentions: [], mentionAll: false };
    if (order.kind === 'edit') {
      if (row.by !== by) return 'ROLE_REQUIRED';
      if (change.deletedBy > 0) return 'TARGET_DELETED';
      if (nowMs - row.timeMs > 2 * DAY_MS || change.edits.length >= 3) return 'EDIT_WINDOW_PASSED';
      change.edits.push(this.head + 1);
    } else {
      const leads = member.role === ROLE.owner || member.role === ROLE.admin;
      if (row.by !== by && !leads) return 'ROLE_REQUIRED';
      if (change.deletedBy > 0) {
        this.#remember(by, order, change.deletedBy, { timeMs: change.deletedMs, nowMs });
        return `commit ${change.deletedBy}`;
      }
      change.deletedBy = this.head + 1;
      change.deletedMs = nowMs;
    }
    this.changes.set(target, change);
    return this.#sent(by, order, nowMs, { kind: order.kind, ...none });
  }

  #sent(
    by: string,
    order: Extract<Order, { do: 'send' }>,
    timeMs: number,
    row: Omit<ModelRow, 'by' | 'timeMs'>,
  ): string {
    this.#append({ by, timeMs, ...row });
    this.#remember(by, order, this.head, { timeMs, nowMs: timeMs });
    return `commit ${this.head}`;
  }

  #byNumber(by: string, order: Extract<Order, { do: 'send' }>, nowMs: number): string | undefined {
    const window = this.#window(by, order.outbox, nowMs);
    const hit = window.entries.find((entry) => entry.number === order.clientSeq);
    if (hit !== undefined)
      return hit.content === contentOf(order) ? `replay ${hit.sequence}` : 'IDEMPOTENCY_CONFLICT';
    const lowest = Math.min(...window.entries.map((entry) => entry.number));
    if (window.entries.length === 32 && order.clientSeq < lowest) return 'TOO_OLD';
    const isNext = order.clientSeq > window.last && order.after === window.last;
    return isNext ? undefined : `OUT_OF_ORDER ${window.last}`;
  }

  #byKey(by: string, order: Extract<Order, { do: 'send' }>, nowMs: number): string | undefined {
    const known = (this.keys.get(by) ?? []).find(
      (entry) => entry.key === keyOf(order) && nowMs - entry.timeMs <= DAY_MS,
    );
    if (known === undefined) return undefined;
    return known.content === contentOf(order) ? `replay ${known.sequence}` : 'IDEMPOTENCY_CONFLICT';
  }

  #window(by: string, outbox: string, nowMs: number): Window {
    const window = this.windows.get(`${by}/${outbox}`);
    const isLive = window !== undefined && nowMs - window.usedMs <= 90 * DAY_MS;
    return isLive ? window : { last: 0, usedMs: nowMs, entries: [] };
  }

  #remember(
    by: string,
    order: Extract<Order, { do: 'send' }>,
    sequence: number,
    when: { readonly timeMs: number; readonly nowMs: number },
  ): void {
    const { timeMs, nowMs } = when;
    const content = contentOf(order);
    if (order.outbox === '') {
      const ring = [...(this.keys.get(by) ?? []), { key: keyOf(order), content, sequence, timeMs }];
      this.keys.set(by, ring.slice(-64));
      return;
    }
    const window = this.#window(by, order.outbox, nowMs);
    window.entries.push({ number: order.clientSeq, content, sequence, timeMs });
    window.entries = window.entries.slice(-32);
    window.last = order.clientSeq;
    window.usedMs = nowMs;
    this.windows.set(`${by}/${order.outbox}`, window);
  }

  #create(by: string, order: Extract<Order, { do: 'create' }>, nowMs: number): string {
    if (this.isDirect || by !== '0') return 'BAD_ID';
    if (this.isKnown) return 'replay 1';
    const users = [...new Set([by, ...order.members])];
    if (users.length > this.#membersMax) return 'GROUP_FULL';
    this.settings = order.settings;
    const answer = this.#server(by, 'created', nowMs);
    for (const user of users) this.#join(user, 1, user === by ? ROLE.owner : ROLE.member, 1);
    return answer;
  }

  #add(
    by: string,
    member: ModelMember,
    order: Extract<Order, { do: 'add' }>,
    nowMs: number,
  ): string {
    if (this.isDirect) return 'ROLE_REQUIRED';
    const leads = member.role === ROLE.owner || member.role === ROLE.admin;
    const mayAdd = leads || (member.role === ROLE.member && this.settings.addMembersToo);
    if (!mayAdd) return 'ROLE_REQUIRED';
    const mayGive =
      member.role === ROLE.owner ||
      order.role === ROLE.member ||
      (leads && order.role === ROLE.guest);
    if (!mayGive) return 'ROLE_REQUIRED';
    if (this.isClosed) return 'CONVERSATION_CLOSED';
    const users = [...new Set(order.users)].filter((user) => !this.members.get(user)?.isPresent);
    if (users.length === 0) return `replay ${this.head}`;
    if (this.present.length + users.length > this.#membersMax) return 'GROUP_FULL';
    const answer = this.#server(by, 'member', nowMs);
    for (const user of users)
      this.#join(user, this.head, order.role, this.settings.historyAll ? 1 : this.head);
    return answer;
  }

  #remove(by: string, member: ModelMember, user: string, nowMs: number): string {
    if (this.isDirect) return 'ROLE_REQUIRED';
    const leads = member.role === ROLE.owner || member.role === ROLE.admin;
    if (user !== by && !leads) return 'ROLE_REQUIRED';
    const target = this.members.get(user);
    if (target === undefined || !target.isPresent) return `replay ${this.head}`;
    const targetLeads = target.role === ROLE.owner || target.role === ROLE.admin;
    if (user !== by && member.role === ROLE.admin && targetLeads) return 'ROLE_REQUIRED';
    if (user === by && this.#isLastOwner(user)) return 'LAST_OWNER';
    target.isPresent = false;
    return this.#server(by, 'member', nowMs);
  }

  #role(
    by: string,
    member: ModelMember,
    order: Extract<Order, { do: 'role' }>,
    nowMs: number,
  ): string {
    if (this.isDirect || member.role !== ROLE.owner) return 'ROLE_REQUIRED';
    if (this.isClosed) return 'CONVERSATION_CLOSED';
    const target = this.members.get(order.user);
    if (target === undefined || !target.isPresent) return 'USER_UNKNOWN';
    if (target.role === order.role) return `replay ${this.head}`;
    if (this.#isLastOwner(order.user)) return 'LAST_OWNER';
    target.role = order.role;
    return this.#server(by, 'member', nowMs);
  }

  #update(
    by: string,
    member: ModelMember,
    order: Extract<Order, { do: 'update' }>,
    nowMs: number,
  ): string {
    const leads = member.role === ROLE.owner || member.role === ROLE.admin;
    if (this.isDirect || !leads) return 'ROLE_REQUIRED';
    if (this.isClosed) return 'CONVERSATION_CLOSED';
    const isSame =
      this.name === order.name && JSON.stringify(this.settings) === JSON.stringify(order.settings);
    if (isSame) return `replay ${this.head}`;
    this.name = order.name;
    this.settings = order.settings;
    return this.#server(by, 'update', nowMs);
  }

  #block(by: string, blocked: boolean): string {
    if (!this.pair.includes(by)) return 'BAD_ID';
    if (this.pair.length < 2) return 'BAD_FIELD';
    if (blocked) this.isKnown = true;
    if (blocked) this.blockedBy.add(by);
    else this.blockedBy.delete(by);
    return `commit ${this.head}`;
  }

  #isLastOwner(user: string): boolean {
    const owners = [...this.members].filter(
      ([, member]) => member.isPresent && member.role === ROLE.owner,
    );
    return owners.length === 1 && owners[0]?.[0] === user && this.present.length > 1;
  }

  #join(user: string, at: number, role: number, historyFrom: number): void {
    const before = this.members.get(user);
    this.members.set(user, {
      isPresent: true,
      everJoined: true,
      role,
      joined: at,
      historyFrom,
      read: at,
      delivered: at,
      archived: before?.archived ?? false,
      cleared: before?.cleared ?? 0,
    });
  }

  #server(by: string, kind: string, timeMs: number): string {
    this.#append({ by, kind, counts: false, mentions: [], mentionAll: false, timeMs });
    return `commit ${this.head}`;
  }

  #append(row: ModelRow): void {
    this.rows.push(row);
    this.isKnown = true;
    this.lastMs = row.timeMs;
  }
}

function keyOf(order: { readonly clientSeq: number }): string {
  return `key ${order.clientSeq}`;
}

/** Without an outbox the number stands for the client message id, which is part of the content. */
function contentOf(order: { readonly clientSeq: number; readonly text: string }): string {
  return `${order.clientSeq} ${order.text}`;
}
