/**
 * Broker.Subscribe: rows of named conversations from a cursor on, dense and in order, for as long as
 * the call lasts. The log is the truth and pushes are hints: a push that is next is passed on, any
 * other only says how far to read. A slow reader is read for when it is ready again, so nothing
 * queues up here.
 */
import type { ServerWritableStream } from '@grpc/grpc-js';
import { hex } from '../../core/bytes.ts';
import { NO_ID } from '../../core/command.ts';
import { ParleyError, toParleyError } from '../../core/errors.ts';
import { parseId } from '../../core/ids.ts';
import { QUERY } from '../../core/query.ts';
import { codecOf, type Fields, type Plain } from '../../proto/codec.ts';
import type {
  SubscribeRequest,
  SubscribeResponse,
} from '../../proto/gen/parley/broker/v1/broker_pb.ts';
import {
  ListRowsRequestSchema,
  ListRowsResponseSchema,
  type ListRowsRequest,
  type ListRowsResponse,
} from '../../proto/gen/parley/client/v1/messages_pb.ts';
import type { StoreLink } from '../store-link.ts';
import { refuseStream, type Received } from './grpc-calls.ts';

export const SUBSCRIPTIONS_MAX = 1000;
const PAGE = 200;
const RETRY_MS = 200;

type SubscribeStream = ServerWritableStream<Received<SubscribeRequest>, Fields<SubscribeResponse>>;

interface Followed {
  readonly conversationId: string;
  readonly raw: Uint8Array;
  epoch: number;
  /** Sequence of the last row that was passed on; undefined = not known yet: from now on. */
  through: number | undefined;
  /** Highest sequence that is known to exist. */
  head: number;
  isReading: boolean;
  /** The first look at the log has been taken. */
  isCaughtUp: boolean;
}

/** All subscriptions of this process: one stream of pushes feeds them. */
export class Subscriptions {
  readonly #link: StoreLink;
  readonly #followers = new Map<string, Set<Subscriber>>();

  constructor(link: StoreLink) {
    this.#link = link;
  }

  get count(): number {
    return this.#followers.size;
  }

  open(stream: SubscribeStream): void {
    const { request } = stream;
    // He left while his token was looked up: nothing would ever say so again.
    if (stream.cancelled) return;
    try {
      if (request instanceof ParleyError) throw request;
      const subscriber = new Subscriber(stream, this.#link, followedOf(request));
      this.#add(subscriber);
      for (const event of ['cancelled', 'close', 'error'])
        stream.on(event, () => this.#remove(subscriber));
      subscriber.start();
    } catch (error) {
      refuseStream(stream, toParleyError(error));
    }
  }

  /** A row was pushed: its subscribers look whether it is theirs to pass on. */
  pushed(conversation: Uint8Array, head: number): void {
    for (const subscriber of this.#followers.get(hex(conversation)) ?? [])
      subscriber.grew(conversation, head);
  }

  /** The Link stands anew: subscribe again, and read what was missed. */
  resync(): void {
    const subscribers = new Set([...this.#followers.values()].flatMap((set) => [...set]));
    this.#link.subscribe([...this.#followers.keys()].map(rawOf), true);
    for (const subscriber of subscribers) subscriber.readAll();
  }

  #add(subscriber: Subscriber): void {
    const fresh: Uint8Array[] = [];
    for (const { raw } of subscriber.followed) {
      const key = hex(raw);
      const set = this.#followers.get(key) ?? new Set<Subscriber>();
      if (set.size === 0) fresh.push(raw);
      this.#followers.set(key, set.add(subscriber));
    }
    this.#link.subscribe(fresh, true);
  }

  #remove(subscriber: Subscriber): void {
    subscriber.stop();
    const unused: Uint8Array[] = [];
    for (const { raw } of subscriber.followed) {
      const key = hex(raw);
      const set = this.#followers.get(key);
      if (set?.delete(subscriber) === true && set.size === 0) {
        this.#followers.delete(key);
        unused.push(raw);
      }
    }
    this.#link.subscribe(unused, false);
  }
}

class Subscriber {
  readonly #stream: SubscribeStream;
  readonly #link: StoreLink;
  readonly #byKey: ReadonlyMap<string, Followed>;
  #isStopped = false;
  #isFull = false;
  #saidCaughtUp = false;

  constructor(stream: SubscribeStream, link: StoreLink, followed: readonly Followed[]) {
    this.#stream = stream;
    this.#link = link;
    this.#byKey = new Map(followed.map((one) => [hex(one.raw), one]));
  }

  get followed(): Iterable<Followed> {
    return this.#byKey.values();
  }

  start(): void {
    this.#stream.on('drain', () => {
      this.#isFull = false;
      this.readAll();
    });
    this.readAll();
  }

  stop(): void {
    this.#isStopped = true;
  }

  readAll(): void {
    for (const followed of this.#byKey.values()) this.#read(followed);
  }

  grew(conversation: Uint8Array, head: number): void {
    const followed = this.#byKey.get(hex(conversation));
    if (followed === undefined) return;
    followed.head = Math.max(followed.head, head);
    if (followed.through !== undefined) this.#read(followed);
  }

  #read(followed: Followed): void {
    if (this.#isStopped || this.#isFull || followed.isReading) return;
    followed.isReading = true;
    const { through, epoch } = followed;
    // Nothing was read yet, whatever the epoch is: from the first row on.
    const isFromFirst = through === 0 && epoch === 0;
    const cursor = through === undefined || isFromFirst ? undefined : { epoch, sequence: through };
    // Without a cursor only the head is wanted: one row from the start tells it.
    const request: Fields<ListRowsRequest> = {
      conversationId: followed.conversationId,
      limit: through === undefined ? 1 : PAGE,
      cursor,
    };
    this.#link.query(
      { number: QUERY['Messages.ListRows'], key: followed.raw, user: NO_ID, device: NO_ID },
      codecOf(ListRowsRequestSchema).encode(request),
      (outcome) => {
        followed.isReading = false;
        if (this.#isStopped) return;
        if (outcome instanceof ParleyError) this.#failed(followed, outcome);
        else this.#got(followed, codecOf(ListRowsResponseSchema).decode(outcome.bytes));
      },
    );
  }

  #got(followed: Followed, page: Plain<ListRowsResponse>): void {
    followed.epoch = page.cursor?.epoch ?? followed.epoch;
    followed.head = Math.max(followed.head, page.head);
    if (followed.through === undefined) followed.through = page.head;
    else if (page.rows.length > 0) {
      followed.through = page.cursor?.sequence ?? followed.through;
      const { conversationId, epoch, head } = followed;
      this.#say({ rows: { conversationId, epoch, head, rows: page.rows } });
    }
    // A row that was pushed while this page was read may not be in it.
    const isBehind = page.rows.length > 0 || followed.head > page.head;
    if (followed.through < followed.head && isBehind) return this.#read(followed);
    this.#caughtUp(followed);
  }

  /** Says so once, when all have taken their first look. */
  #caughtUp(followed: Followed): void {
    followed.isCaughtUp = true;
    if (this.#saidCaughtUp || [...this.#byKey.values()].some((one) => !one.isCaughtUp)) return;
    this.#saidCaughtUp = true;
    this.#say({ caughtUp: true });
  }

  #failed(followed: Followed, error: ParleyError): void {
    const first = Number(error.details['first'] ?? 0);
    if (error.reason === 'CURSOR_TRUNCATED' && first > 0) {
      const { conversationId, through, head } = followed;
      this.#say({ gap: { conversationId, from: (through ?? 0) + 1, head, reason: 'EXPIRED' } });
      followed.epoch = Number(error.details['epoch'] ?? 0);
      followed.through = first - 1;
      this.#read(followed);
    } else if (error.code === 'unavailable' || error.code === 'deadline_exceeded')
      setTimeout(() => this.#read(followed), RETRY_MS);
    else if (error.reason === 'CONVERSATION_UNKNOWN') {
      // Nothing was written yet: its first row will come as a push, or has while this was read.
      followed.through ??= 0;
      if (followed.head > followed.through) return this.#read(followed);
      this.#caughtUp(followed);
    } else refuseStream(this.#stream, error);
  }

  #say(response: Fields<SubscribeResponse>): void {
    this.#isFull = !this.#stream.write(response);
  }
}

function followedOf(request: Plain<SubscribeRequest>): Followed[] {
  const { conversations } = request;
  if (conversations.length === 0 || conversations.length > SUBSCRIPTIONS_MAX)
    throw new ParleyError('BAD_FIELD', `name 1 to ${SUBSCRIPTIONS_MAX} conversations`, {
      field: 'conversations',
    });
  return conversations.map(({ conversationId, cursor }) => ({
    conversationId,
    raw: parseId('cnv', conversationId, 'conversations'),
    epoch: cursor?.epoch ?? 0,
    through: cursor?.sequence,
    head: 0,
    isReading: false,
    isCaughtUp: false,
  }));
}

function rawOf(key: string): Uint8Array {
  return Uint8Array.from(Buffer.from(key, 'hex'));
}
