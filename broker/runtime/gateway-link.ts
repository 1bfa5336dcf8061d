/**
 * One gateway's Link at the store: takes its slabs apart, and writes answers, results and pushes
 * into slabs that leave at the end of the turn. It is where answers go (Answerer) and where fan-out
 * writes (Outlet). Records of one Link are handled in order, so routes stand before the pulls behind
 * them.
 */
import { writeU53 } from '../../core/bytes.ts';
import type { ParleyError } from '../../core/errors.ts';
import { LINK_QUEUE_BYTES_MAX, type Link } from '../../core/link.ts';
import { encodeError, type Refusal } from '../../core/link-payload.ts';
import type { Logger } from '../../core/observe.ts';
import { QUERY_HEADER_BYTES } from '../../core/query.ts';
import {
  RECORD,
  SlabWriter,
  eachRecord,
  extraAt,
  flagsAt,
  idAt,
  kindAt,
  payloadAt,
  requestAt,
  type Slab,
} from '../../core/record.ts';
import { Feed } from '../fanout/feed.ts';
import type { Outlet, Routes } from '../fanout/routes.ts';
import type { Answerer, CommitAnswer } from './answers.ts';
import type { QueryHandler, QueryReply } from './query-handler.ts';
import { REFUSED } from './refusals.ts';

/** Queries of one Link that are being answered; more are refused. */
export const QUERIES_PER_LINK_MAX = 4096;
/** Answers are refused beyond this much under way: pages may be large, and a Link that overruns ends. */
export const RESULT_BYTES_MAX: number = LINK_QUEUE_BYTES_MAX / 2;

const ROUTE_BYTES = 20;
const ALL_THERE_ARE = 1;
const REPLAYED = 1;
const QUEUED_MAX = 0xffff;
const COMMIT_BYTES = 24;

export interface GatewayLinkParts {
  readonly link: Link;
  readonly shards: number;
  readonly routes: Routes;
  readonly queries: QueryHandler;
  readonly log: Logger;
  /** Runs `flush` when the loop's turn ends. */
  readonly schedule: (flush: () => void) => void;
  readonly command: (bytes: Uint8Array, from: Answerer, request: number) => void;
  readonly typing: (conversation: Uint8Array, user: Uint8Array, state: number) => void;
  readonly closed: (link: GatewayLink) => void;
}

export class GatewayLink implements Outlet, Answerer {
  readonly out: SlabWriter;
  readonly planned: number[] = [];
  readonly feed: Feed;
  readonly #parts: GatewayLinkParts;
  #isClosed = false;
  #queries = 0;
  queriesRefused = 0;
  readonly #each = (at: number, slab: Slab): void => this.#record(at, slab);

  constructor(parts: GatewayLinkParts) {
    this.#parts = parts;
    const { link } = parts;
    this.out = new SlabWriter((slab) => {
      if (!this.#isClosed) link.send(slab);
    }, parts.schedule);
    this.feed = new Feed(this.out, parts.shards);
  }

  listen(): void {
    this.#parts.link.listen({
      slab: (slab) => this.#arrived(slab),
      writable: () => this.feed.announce(this.isWritable),
      closed: (reason) => this.#ended(reason),
    });
  }

  get isWritable(): boolean {
    return !this.#isClosed && this.#parts.link.isWritable;
  }

  missed(shard: number): void {
    this.feed.missed(shard);
  }

  close(reason?: ParleyError): void {
    this.out.flush();
    this.#parts.link.close(reason);
    this.#ended(reason);
  }

  // ---- Answerer

  committed(request: number, answer: CommitAnswer): void {
    if (request === 0) return;
    const header = {
      kind: RECORD.commit,
      flags: answer.replayed ? REPLAYED : 0,
      request,
      shard: answer.shard,
      count: Math.min(answer.queued, QUEUED_MAX),
      position: answer.sequence,
      id: answer.key,
    };
    const at = this.out.begin(header, COMMIT_BYTES);
    const { view } = this.out.slab;
    writeU53(view, at, answer.timeMs);
    writeU53(view, at + 8, answer.index);
    writeU53(view, at + 16, answer.head);
  }

  refused(request: number, refusal: Refusal): void {
    if (request === 0) return;
    this.out.write({ kind: RECORD.error, request }, encodeError(refusal));
  }

  // ---- arriving

  #arrived(slab: Slab): void {
    if (this.#isClosed) return;
    eachRecord(slab, this.#each);
    if (!this.out.recycle(slab)) this.#parts.link.giveBack(slab);
  }

  #record(at: number, slab: Slab): void {
    const { command, typing, log } = this.#parts;
    const kind = kindAt(slab, at);
    switch (kind) {
      case RECORD.command:
        command(payloadAt(slab, at), this, requestAt(slab, at));
        return;
      case RECORD.query:
        this.#query(at, slab);
        return;
      case RECORD.typing: {
        const payload = payloadAt(slab, at);
        typing(idAt(slab, at), payload.subarray(0, 16), payload[16] ?? 0);
        return;
      }
      case RECORD.routes:
        this.#routes(payloadAt(slab, at), flagsAt(slab, at) === ALL_THERE_ARE);
        return;
      case RECORD.unroutes:
        this.#unroutes(payloadAt(slab, at));
        return;
      case RECORD.subscribe:
      case RECORD.unsubscribe:
        this.#follow(payloadAt(slab, at), kind === RECORD.subscribe);
        return;
      default:
        // A newer gateway may say what this store does not know yet.
        log.warn('a gateway sent a record of an unknown kind', { kind });
    }
  }

  #routes(payload: Uint8Array, isAll: boolean): void {
    const { routes } = this.#parts;
    if (isAll) {
      routes.drop(this);
      this.feed.missedAll();
    }
    const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
    for (let at = 0; at + ROUTE_BYTES <= payload.length; at += ROUTE_BYTES)
      routes.add(this, view.getUint32(at, true), payload.subarray(at + 4, at + ROUTE_BYTES));
    if (isAll) this.feed.announce(this.isWritable);
  }

  #unroutes(payload: Uint8Array): void {
    const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
    for (let at = 0; at + 4 <= payload.length; at += 4)
      this.#parts.routes.remove(this, view.getUint32(at, true));
  }

  #follow(conversations: Uint8Array, isOn: boolean): void {
    const { routes } = this.#parts;
    for (let at = 0; at + 16 <= conversations.length; at += 16) {
      const conversation = conversations.subarray(at, at + 16);
      if (isOn) routes.follow(this, conversation);
      else routes.unfollow(this, conversation);
    }
  }

  #query(at: number, slab: Slab): void {
    const request = requestAt(slab, at);
    if (this.#queries >= QUERIES_PER_LINK_MAX) {
      this.queriesRefused++;
      this.refused(request, REFUSED.queries);
      return;
    }
    this.#queries++;
    const payload = payloadAt(slab, at).slice();
    this.#parts.queries.query(
      {
        method: extraAt(slab, at),
        caller: payload.subarray(0, 16),
        device: payload.subarray(16, QUERY_HEADER_BYTES),
        request: payload.subarray(QUERY_HEADER_BYTES),
      },
      this.#reply(request),
    );
  }

  #reply(request: number): QueryReply {
    let isOpen = true;
    const once = (): boolean => {
      const was = isOpen;
      if (was) this.#queries--;
      isOpen = false;
      return was && !this.#isClosed;
    };
    return {
      result: (payload, position) => {
        if (!once()) return;
        if (this.#parts.link.bytesUnderWay <= RESULT_BYTES_MAX)
          this.out.write({ kind: RECORD.result, request, position }, payload);
        else {
          this.queriesRefused++;
          this.refused(request, REFUSED.queries);
        }
      },
      error: (error) => {
        if (once()) this.refused(request, error);
      },
    };
  }

  #ended(reason: ParleyError | undefined): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#parts.routes.drop(this);
    this.#parts.routes.unfollowAll(this);
    this.#parts.log.info('a gateway link ended', { reason: reason?.reason });
    this.#parts.closed(this);
  }
}
