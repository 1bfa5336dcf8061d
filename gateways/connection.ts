/**
 * One connection: a socket, its session, and what is due to it in this turn of the loop. Decodes
 * what comes, performs what the session asks for, and batches what goes.
 */
import { ParleyError, toParleyError } from '../core/errors.ts';
import { errorFrame } from './session/frames-out.ts';
import { FRAME_BYTES_MAX, READ_BYTES_PER_SECOND_MIN, ROOM_WAIT_MS } from './session/limits.ts';
import type { Session } from './session/session.ts';
import type { Effect } from './session/session-contract.ts';
import type { Socket, SocketEvents } from './websocket/socket.ts';
import {
  encodeCommit,
  encodeFrame,
  encodeResult,
  readMessage,
  type Batch,
  type FrameReader,
} from './wire.ts';
import type { Wakeable } from './wheel.ts';

/** What a connection asks of the gateway that it belongs to. */
export interface ConnectionHost {
  nowMs(): number;
  /** The empty batch of this turn. */
  root(format: Socket['format']): Batch;
  /** These bytes of an answer, or a frame made around them, are needed no more. */
  spent(part: Uint8Array): void;
  /** It has something to flush when the turn ends. */
  dirty(connection: Connection): void;
  /** Performs an effect that is not a frame to this socket. */
  perform(connection: Connection, effect: Effect): void;
  /** Its next deadline may have changed. */
  wake(connection: Connection): void;
  /** What it asked for met a fault of this process. */
  failed(error: ParleyError): void;
  /** It is over; `reason` is empty when the peer left. */
  gone(connection: Connection, reason: string): void;
}

/** A batch of this size goes out before the turn ends. */
const BATCH_BYTES_MAX = 128 * 1024;

export class Connection implements SocketEvents, Wakeable {
  readonly session: Session;
  readonly socket: Socket;
  readonly #host: ConnectionHost;
  #batch: Batch | undefined;
  /** Replies to calls that are in the batch. */
  #results: Buffer[] | undefined;
  #isOver = false;
  #isPerforming = false;
  #waitingForRoom: ((outcome: ParleyError | undefined) => void)[] = [];
  /** When the first of those who wait for room has waited too long. */
  #roomDueMs = Infinity;
  wheelSlot = 0;

  constructor(session: Session, socket: Socket, host: ConnectionHost) {
    this.session = session;
    this.socket = socket;
    this.#host = host;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** When it wants to be looked at next, by `session.tick` and `drained`. */
  get wakeAtMs(): number {
    return Math.min(this.session.wakeAtMs, this.#roomDueMs);
  }

  // ---- from the socket

  message(data: Buffer, isText: boolean): void {
    if (this.#isOver) return;
    const nowMs = this.#host.nowMs();
    const { format } = this.socket;
    if (data.length > FRAME_BYTES_MAX) {
      const error = new ParleyError('FRAME_TOO_LARGE', 'a frame is larger than 256 KiB');
      this.session.unreadable(error, 0, nowMs);
    } else if (isText !== (format === 'json')) {
      const error = new ParleyError('MALFORMED', 'the message is not of this subprotocol');
      this.session.unreadable(error, 0, nowMs);
    } else {
      // The carrier takes its bytes back; frames that wait for a token to be verified keep theirs.
      const own = this.session.caller === undefined ? Buffer.from(data) : data;
      readMessage(format, own, this.#reader(nowMs));
    }
    this.perform();
  }

  drained(): void {
    if (this.#isOver) return;
    this.session.pressure(this.#bufferedBytes());
    this.perform();
    this.#giveRoom();
  }

  closed(): void {
    if (this.#isOver) return;
    this.session.disconnected();
    this.perform();
    this.#end('');
  }

  // ---- to the socket

  /**
   * A frame that connections share. What the session said before goes first, also what a routine
   * pushed in a step that nobody has performed yet: rows caught up must not be overtaken by live ones.
   */
  pass(chunk: Buffer): void {
    if (this.session.hasEffects) this.perform();
    this.write(chunk);
  }

  /** Puts an encoded frame behind what is already due. */
  write(chunk: Buffer): void {
    if (this.#isOver) return;
    if (this.#batch === undefined) this.#host.dirty(this);
    const batch = (this.#batch ?? this.#host.root(this.socket.format)).append(chunk);
    this.#batch = batch;
    if (batch.size > BATCH_BYTES_MAX) this.flush();
  }

  /** Hands what is due to the socket. A socket that does not keep up is known after this. */
  flush(): void {
    const batch = this.#batch;
    if (batch === undefined) return;
    const results = this.#results;
    this.#batch = undefined;
    this.#results = undefined;
    const untakenBytes = this.socket.bufferedBytes;
    this.socket.send(batch);
    for (const result of results ?? []) this.#host.spent(result);
    if (this.#isOver) return;
    this.session.pressure(this.#bufferedBytes(), untakenBytes);
    this.perform();
  }

  /**
   * Calls back once the socket has taken most of what went before, in order; with CANCELED when the
   * connection is over. So many may wait as the session lets pages be under way, and a resume or a check.
   */
  room(go: (outcome: ParleyError | undefined) => void): void {
    this.perform();
    if (this.#isOver) return go(canceled());
    this.#waitingForRoom.push(go);
    this.#giveRoom();
  }

  /** One after the other: each may fill the socket for those behind it. */
  #giveRoom(): void {
    while (this.#waitingForRoom.length > 0 && !this.#isFull()) {
      this.#roomDueMs = Infinity;
      this.#waitingForRoom.shift()?.(undefined);
    }
    if (this.#waitingForRoom.length > 0) this.#limitWait();
  }

  /**
   * Who pings and does not read would keep what waits for ever. The time grows with what is to be read
   * first: a slow reader of large pages, sent away too soon, would begin anew and again be sent away.
   */
  #limitWait(): void {
    const nowMs = this.#host.nowMs();
    if (this.#roomDueMs === Infinity) {
      const readingMs = (this.#bufferedBytes() * 1000) / READ_BYTES_PER_SECOND_MIN;
      this.#roomDueMs = nowMs + ROOM_WAIT_MS + readingMs;
    } else if (nowMs >= this.#roomDueMs) this.session.close('SLOW_CONSUMER');
    this.perform();
  }

  /** Also what is due counts; the socket gets that, so that it says when it has taken it. */
  #isFull(): boolean {
    this.session.pressure(this.#bufferedBytes(), 0);
    if (this.session.isCongested) this.flush();
    return this.session.isCongested;
  }

  /** Performs what the session asks for, until it asks for nothing more. */
  perform(): void {
    if (this.#isPerforming) return;
    this.#isPerforming = true;
    for (let effects = this.session.takeEffects(); effects.length > 0; ) {
      for (const effect of effects) this.#attempt(effect);
      effects = this.session.takeEffects();
    }
    this.#isPerforming = false;
    if (!this.#isOver) this.#host.wake(this);
  }

  #reader(nowMs: number): FrameReader {
    const { session } = this;
    return {
      isOver: () => session.isClosed,
      frame: (frame) => {
        session.frame(frame, nowMs);
        this.perform();
      },
      unreadable: (error, id) => {
        session.unreadable(error, id, nowMs);
        this.perform();
      },
    };
  }

  /** A fault in what one connection asked for ends that connection, and nobody else's. */
  #attempt(effect: Effect): void {
    try {
      this.#effect(effect);
    } catch (error) {
      this.#host.failed(toParleyError(error));
      this.session.close('INVARIANT');
    }
  }

  /** What a store wrote is first read here, where the client wants JSON: what cannot be is refused. */
  #resultOf({ id, method, response }: Extract<Effect, { is: 'result' }>): Buffer {
    const { format } = this.socket;
    try {
      return encodeResult(format, id, method, response);
    } catch (thrown) {
      const error = toParleyError(thrown);
      this.#host.failed(error);
      return encodeFrame(format, errorFrame(id, error));
    }
  }

  #effect(effect: Effect): void {
    const { format } = this.socket;
    switch (effect.is) {
      case 'frame':
        return this.write(encodeFrame(format, effect.frame));
      case 'commit':
        return this.write(encodeCommit(format, effect));
      case 'result': {
        const { response } = effect;
        const result = this.#resultOf(effect);
        // What the frame was not made around has been copied into it.
        if (response instanceof Uint8Array) this.#host.spent(response);
        (this.#results ??= []).push(result);
        return this.write(result);
      }
      case 'close':
        this.flush();
        this.#end(effect.reason);
        return this.socket.close(effect.code, effect.reason);
      default:
        this.#host.perform(this, effect);
    }
  }

  #end(reason: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#batch = undefined;
    this.#results = undefined;
    this.#host.gone(this, reason);
    for (const go of this.#waitingForRoom.splice(0)) go(canceled());
  }

  #bufferedBytes(): number {
    return this.socket.bufferedBytes + (this.#batch?.size ?? 0);
  }
}

function canceled(): ParleyError {
  return new ParleyError('CANCELED', 'the connection is over');
}
