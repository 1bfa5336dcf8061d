/**
 * A window of at most 200 rows over a conversation's log (S2, S14): what the device holds at once,
 * the rest as holes that fill themselves while the window is open and the server can be reached.
 */
import type { Place, Timeline, TimelineState } from './client-interface.ts';
import type { ListMessagesAnswer, Message, Sequence } from './contract.ts';
import type { Core } from './core.ts';
import { isAtEdge, type PageRequest } from './covers.ts';
import { ClientError, reasonOf } from './errors.ts';
import { isCountable, newer } from './message-merge.ts';
import { holesIn, type Span, spanOf } from './ranges.ts';
import type { Reason } from './reasons.ts';
import { Cell, isShallowEqual } from './store.ts';
import { keyOf, RowMaker, type RowsInput } from './timeline-rows.ts';
import { unreadCount } from './unread.ts';

export const ROWS_MAX = 200;
export const PAGE_ROWS = 50;
/** Whole pages that one window asks for by itself before somebody scrolls. */
const FILLS_MAX = 4;
const RETRIES_MAX = 3;

export interface TimelineOwner {
  readonly id: string;
  rowsInput(): Omit<RowsInput, 'messages' | 'holes'>;
  closed(timeline: WindowTimeline): void;
}

type Loading = 'older' | 'newer' | 'jump';

export class WindowTimeline implements Timeline {
  readonly #core: Core;
  readonly #owner: TimelineOwner;
  readonly #maker = new RowMaker();
  readonly #state: Cell<TimelineState>;
  /** The window, by sequence. */
  #messages = new Map<Sequence, Message>();
  /** Taken while a jump reads, so that what it read does not hide them. */
  #meanwhile = new Map<Sequence, Message>();
  /** Positions covered; `#through` counts only while the window is not at the end. */
  #from: Sequence = 1;
  #through: Sequence = 0;
  #isAtEnd = true;
  #isFollowing = true;
  #isClosed = false;
  #isFilling = false;
  #fills = 0;
  #below = 0;
  #loading: Loading | undefined;
  #failed: Reason | undefined;
  #newFrom: Sequence | undefined;
  /** Rises with each jump: what an earlier one still reads is not shown. */
  #jump = 0;

  constructor(core: Core, owner: TimelineOwner) {
    this.#core = core;
    this.#owner = owner;
    const log = core.log(owner.id);
    const unread = log?.unread;
    // Own words and what happened are above the mark too, and are not unread.
    if (unread !== undefined && unreadCount(unread).messages > 0)
      this.#newFrom = unread.readThrough + 1;
    this.#from = (log?.cursor ?? 0) + 1;
    this.#state = new Cell<TimelineState>(this.#compute(), isShallowEqual);
  }

  get(): TimelineState {
    return this.#state.get();
  }

  subscribe(fn: () => void): () => void {
    return this.#state.subscribe(fn);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#jump += 1;
    this.#messages.clear();
    this.#owner.closed(this);
  }

  shown(): Span {
    const isWhole = this.#isAtEnd || this.#loading === 'jump';
    return { from: this.#from, through: isWhole ? Number.MAX_SAFE_INTEGER : this.#through };
  }

  follow(isFollowing: boolean): void {
    if (this.#isFollowing === isFollowing || this.#isClosed) return;
    this.#isFollowing = isFollowing;
    const log = this.#core.log(this.#owner.id);
    if (!isFollowing && this.#isAtEnd && log !== undefined) {
      this.#isAtEnd = false;
      this.#through = Math.max(log.cursor, this.#newestHeld());
      this.#below = 0;
    } else if (isFollowing && !this.#isAtEnd) this.#catchUp();
  }

  /** Own row was added: whoever sends looks at the end. */
  sent(): void {
    this.follow(true);
    if (!this.#isAtEnd) this.moveTo('latest').catch(() => undefined);
    this.refresh();
  }

  async moveTo(place: Place): Promise<void> {
    const jump = ++this.#jump;
    this.#meanwhile = new Map();
    this.#show('jump');
    try {
      await this.#go(place, jump);
      if (jump === this.#jump) this.#failed = undefined;
    } catch (error) {
      if (jump === this.#jump) this.#failed = reasonOf(error);
    }
    if (jump !== this.#jump) return;
    this.#show(undefined);
    this.#fill();
  }

  async more(edge: 'older' | 'newer'): Promise<void> {
    if (this.#isClosed || this.#loading !== undefined) return;
    const jump = this.#jump;
    this.#fills = 0;
    this.#show(edge);
    try {
      if (edge === 'older') await this.#older();
      else await this.#newer();
      this.#failed = undefined;
    } catch (error) {
      this.#failed = reasonOf(error);
    }
    if (jump !== this.#jump) return;
    this.#trim(edge === 'older' ? 'newest' : 'oldest');
    this.#show(undefined);
    this.#fill();
  }

  /** Messages changed in the cache: by rows, pages or syncs. */
  take(changed: ReadonlyMap<Sequence, Message>): void {
    const me = this.#core.me();
    for (const [sequence, message] of changed) {
      if (this.#loading === 'jump') this.#meanwhile.set(sequence, message);
      if (sequence < this.#from) continue;
      if (this.#isWithin(message)) this.#put(message);
      else if (message.senderUserId !== me && isCountable(message.content)) this.#below += 1;
    }
    if (this.#isAtEnd) this.#trim('oldest');
    this.refresh();
    this.#fill();
  }

  /** Rows were erased. */
  erase(span: Span): void {
    for (const sequence of this.#messages.keys())
      if (span.from <= sequence && sequence <= span.through) this.#messages.delete(sequence);
    this.refresh();
  }

  refresh(): void {
    if (!this.#isClosed) this.#state.set(this.#compute());
  }

  /** The connection is back: what failed for want of it is tried again. */
  online(): void {
    if (this.#isClosed) return;
    this.#failed = undefined;
    this.#fills = 0;
    this.refresh();
    this.#fill();
  }

  // --- where to --------------------------------------------------------------------------------

  async #go(place: Place, jump: number): Promise<void> {
    if (place === 'latest') return this.#latest(jump);
    if (place === 'first-unread') {
      if (this.#newFrom === undefined) return this.#latest(jump);
      return this.#around(this.#newFrom, jump);
    }
    if ('sequence' in place) return this.#around(place.sequence, jump);
    if ('key' in place) return this.#atKey(place.key, jump);
    const atTimeMs = place.at.getTime();
    const { messages } = await this.#core.history.readPage(this.#owner.id, { atTimeMs });
    const found = messages?.findLast(({ timeMs = 0 }) => timeMs <= atTimeMs) ?? messages?.[0];
    return found === undefined ? this.#latest(jump) : this.#around(found.sequence, jump);
  }

  async #latest(jump: number): Promise<void> {
    const log = this.#core.log(this.#owner.id);
    const range = { from: log?.first ?? 1, through: Number.MAX_SAFE_INTEGER };
    const messages = await this.#core.history.readMessages(this.#owner.id, {
      ...range,
      limit: PAGE_ROWS,
      isNewest: true,
    });
    if (jump !== this.#jump) return;
    this.#isAtEnd = true;
    this.#isFollowing = true;
    this.#below = 0;
    const oldest = messages[0]?.sequence;
    const isFull = messages.length >= PAGE_ROWS && oldest !== undefined;
    const spanFrom = log?.ranges[0]?.from ?? (log?.cursor ?? 0) + 1;
    this.#replace(messages, isFull ? oldest : Math.min(spanFrom, oldest ?? spanFrom));
    this.#core.wantSync(this.#owner.id);
  }

  async #around(sequence: Sequence, jump: number): Promise<void> {
    const id = this.#owner.id;
    const log = this.#core.log(id);
    if (log !== undefined && spanOf(log.ranges, sequence) === undefined && sequence <= log.head)
      await this.#page({ around: sequence, limit: PAGE_ROWS });
    const span = log === undefined ? undefined : spanOf(log.ranges, sequence);
    if (log === undefined || span === undefined) return this.#latest(jump);
    const half = PAGE_ROWS / 2;
    const earlier = await this.#core.history.readMessages(id, {
      from: span.from,
      through: sequence,
      limit: half,
      isNewest: true,
    });
    const later = await this.#core.history.readMessages(id, {
      from: sequence + 1,
      through: span.through,
      limit: half,
      isNewest: false,
    });
    if (jump !== this.#jump) return;
    this.#through = later.length < half ? span.through : (later.at(-1)?.sequence ?? sequence);
    this.#isAtEnd = this.#through >= log.cursor;
    this.#isFollowing = this.#isAtEnd;
    this.#below = this.#isAtEnd ? 0 : log.head - this.#through;
    this.#replace(
      [...earlier, ...later],
      earlier.length < half ? span.from : (earlier[0]?.sequence ?? sequence),
    );
  }

  async #atKey(key: string, jump: number): Promise<void> {
    for (const message of this.#messages.values())
      if (keyOf(message) === key) return this.#around(message.sequence, jump);
    // LIMIT: by key among the newest 200 held only; by sequence anywhere.
    const newest = await this.#core.history.readMessages(this.#owner.id, {
      from: 1,
      through: Number.MAX_SAFE_INTEGER,
      limit: ROWS_MAX,
      isNewest: true,
    });
    const found = newest.find((message) => keyOf(message) === key);
    return found === undefined ? this.#latest(jump) : this.#around(found.sequence, jump);
  }

  async #older(): Promise<void> {
    const log = this.#core.log(this.#owner.id);
    if (log === undefined || this.#from <= log.first) return;
    const jump = this.#jump;
    const span = spanOf(log.ranges, this.#from - 1);
    if (span === undefined) return this.#fillTop();
    const messages = await this.#core.history.readMessages(this.#owner.id, {
      from: span.from,
      through: this.#from - 1,
      limit: PAGE_ROWS,
      isNewest: true,
    });
    if (jump !== this.#jump) return;
    for (const message of messages) this.#put(message);
    const isFull = messages.length >= PAGE_ROWS;
    this.#from = Math.max(log.first, isFull ? (messages[0]?.sequence ?? span.from) : span.from);
    if (!isFull && this.#from > log.first && this.#core.isReady()) await this.#fillTop();
  }

  /** Reads the page above the window from the server. */
  async #fillTop(): Promise<void> {
    const jump = this.#jump;
    const before = this.#from;
    const request = { before, limit: PAGE_ROWS };
    const answer = await this.#page(request);
    const log = this.#core.log(this.#owner.id);
    if (jump !== this.#jump || log === undefined) return;
    for (const message of answer.messages ?? []) this.#put(message);
    const isStart = isAtEdge(request, answer);
    const oldest = answer.messages?.[0]?.sequence;
    this.#from = Math.min(before, isStart ? log.first : (oldest ?? log.first));
    // What was stored meanwhile is newer than the answer.
    const stored = await this.#core.history.readMessages(this.#owner.id, {
      from: this.#from,
      through: before - 1,
      limit: PAGE_ROWS * 2,
      isNewest: true,
    });
    if (jump !== this.#jump) return;
    for (const message of stored) this.#put(message);
  }

  async #newer(): Promise<void> {
    const log = this.#core.log(this.#owner.id);
    if (log === undefined || this.#isAtEnd) return;
    const jump = this.#jump;
    const next = this.#through + 1;
    if (spanOf(log.ranges, next) === undefined && next <= log.cursor)
      await this.#page({ after: this.#through, limit: PAGE_ROWS });
    const span = spanOf(log.ranges, next);
    const messages = await this.#core.history.readMessages(this.#owner.id, {
      from: next,
      through: span?.through ?? log.head,
      limit: PAGE_ROWS,
      isNewest: false,
    });
    if (jump !== this.#jump) return;
    for (const message of messages) this.#put(message);
    const newest = messages.at(-1)?.sequence ?? this.#through;
    this.#through = messages.length >= PAGE_ROWS ? newest : (span?.through ?? newest);
    this.#isAtEnd = this.#through >= log.cursor;
    this.#below = this.#isAtEnd ? 0 : Math.min(this.#below, log.head - this.#through);
    if (this.#isAtEnd) this.#isFollowing = true;
  }

  /** Follows again: what arrived meanwhile is right behind the window, or a jump away. */
  #catchUp(): void {
    const log = this.#core.log(this.#owner.id);
    const isNear = log !== undefined && log.cursor - this.#through <= ROWS_MAX;
    const jump = this.#jump;
    const go = isNear ? this.#newer() : this.moveTo('latest');
    go.then(
      () => {
        if (jump !== this.#jump) return;
        this.#trim('oldest');
        this.refresh();
      },
      () => undefined,
    );
  }

  // --- holes -----------------------------------------------------------------------------------

  async #page(request: PageRequest): Promise<ListMessagesAnswer> {
    if (!this.#core.isReady())
      throw new ClientError(
        'BACKEND_UNAVAILABLE',
        'not on this device, and there is no connection',
      );
    const answer = await this.#core.history.readPage(this.#owner.id, request);
    // One that was cut for its size is the part of a page that it holds.
    const part = (answer.messages?.length ?? 0) / PAGE_ROWS;
    if (answer.cut === true) this.#fills = Math.max(0, this.#fills - 1 + part);
    return answer;
  }

  /** Fills the newest hole in the window, and the top of a window that is nearly empty. */
  #fill(): void {
    if (this.#isFilling || this.#isClosed || !this.#core.isReady() || this.#loading !== undefined)
      return;
    if (this.#fills >= FILLS_MAX) return;
    const log = this.#core.log(this.#owner.id);
    if (log === undefined || !log.isOnServer || log.resource.me?.role === '') return;
    // The hole above the window waits for somebody to scroll there, unless the window is nearly empty.
    const hole = this.#holes().findLast((each) => each.through >= this.#from);
    const isThin = this.#messages.size < PAGE_ROWS && this.#from > log.first;
    if (hole === undefined && !isThin) return;
    this.#isFilling = true;
    this.#fills += 1;
    const isTop = hole === undefined || hole.from < this.#from;
    const jump = this.#jump;
    const fetched = isTop
      ? this.#older()
      : this.#page({ before: hole.through + 1, limit: PAGE_ROWS }).then(() => undefined);
    fetched
      .then(() => {
        if (jump === this.#jump) this.#failed = undefined;
      })
      .catch((error: unknown) => {
        if (jump !== this.#jump) return;
        this.#failed = reasonOf(error);
        this.#fills = Math.max(this.#fills, FILLS_MAX - RETRIES_MAX + 1);
      })
      .finally(() => {
        this.#isFilling = false;
        this.refresh();
        if (this.#failed === undefined) this.#fill();
      });
  }

  /** In the window, and the one that ends right above it. */
  #holes(): readonly Span[] {
    const log = this.#core.log(this.#owner.id);
    if (log === undefined || !log.isOnServer) return [];
    const through = this.#isAtEnd ? log.cursor : this.#through;
    const inside = holesIn(log.ranges, { from: this.#from, through });
    if (this.#from <= log.first || spanOf(log.ranges, this.#from - 1) !== undefined) return inside;
    const below = log.ranges.filter((span) => span.through < this.#from).at(-1);
    const top = { from: (below?.through ?? log.first - 1) + 1, through: this.#from - 1 };
    // One hole, though the window's edge runs through it.
    const [first, ...rest] = inside;
    return first?.from === this.#from
      ? [{ from: top.from, through: first.through }, ...rest]
      : [top, ...inside];
  }

  // --- state -----------------------------------------------------------------------------------

  #replace(messages: readonly Message[], from: Sequence): void {
    const meanwhile = this.#meanwhile;
    this.#meanwhile = new Map();
    this.#messages = new Map();
    this.#from = Math.max(1, from);
    this.#fills = 0;
    for (const message of messages) this.#put(message);
    for (const message of meanwhile.values()) if (this.#isWithin(message)) this.#put(message);
  }

  /** A read of the cache may be older than what was taken while it ran. */
  #put(message: Message): void {
    this.#messages.set(message.sequence, newer(this.#messages.get(message.sequence), message));
  }

  #isWithin(message: Message): boolean {
    if (message.sequence < this.#from) return false;
    return this.#isAtEnd || message.sequence <= this.#through;
  }

  #newestHeld(): Sequence {
    return Math.max(0, ...this.#messages.keys());
  }

  #trim(side: 'oldest' | 'newest'): void {
    const excess = this.#messages.size - ROWS_MAX;
    if (excess <= 0) return;
    const sorted = [...this.#messages.keys()].sort((a, b) => a - b);
    if (side === 'oldest') {
      for (const sequence of sorted.slice(0, excess)) this.#messages.delete(sequence);
      this.#from = sorted[excess] ?? this.#from;
      return;
    }
    for (const sequence of sorted.slice(-excess)) this.#messages.delete(sequence);
    const log = this.#core.log(this.#owner.id);
    this.#through = sorted.at(-excess - 1) ?? this.#through;
    this.#isAtEnd = false;
    this.#isFollowing = false;
    this.#below = (log?.head ?? this.#through) - this.#through;
  }

  #show(loading: Loading | undefined): void {
    this.#loading = loading;
    this.refresh();
  }

  #compute(): TimelineState {
    const log = this.#core.log(this.#owner.id);
    const messages = [...this.#messages.values()].sort((a, b) => a.sequence - b.sequence);
    const rows = this.#maker.make({
      ...this.#owner.rowsInput(),
      messages,
      holes: this.#holes(),
    });
    const held = this.#state?.get().rows;
    const isSame = held?.length === rows.length && held.every((row, i) => row === rows[i]);
    return {
      rows: isSame ? held : rows,
      first: log?.first ?? 1,
      head: log?.head ?? 0,
      below: this.#below,
      atEnd: this.#isAtEnd,
      ...(this.#newFrom === undefined ? {} : { newFrom: this.#newFrom }),
      ...(this.#loading === undefined ? {} : { loading: this.#loading }),
      ...(this.#failed === undefined ? {} : { failed: this.#failed }),
    };
  }
}
